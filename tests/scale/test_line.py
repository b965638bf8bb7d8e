"""Lines: many messages at once, a key, and what becomes of those that ask when one breaks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from aiohttp import ClientError
from ray.exceptions import RayActorError

from bessemer.actors import _line
from bessemer.actors._hosts import keeper_ref, ledger_client
from bessemer.actors._line import Direct, Line, LinedHost, LineServer
from bessemer.actors._pulse import SilentHost
from bessemer.actors._wire import HostRef, ask, encode
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.ledger import ReadLeft, ReadSpending, Renew, Spending
from bessemer.cluster.settings import Settings
from bessemer.interfaces._home import home_of
from tests.ledger._make import opening

HERE = "127.0.0.1"


class Host:
    """Answers in capitals, `later` once the gate is open, and breaks on `break`."""

    def __init__(self) -> None:
        self.answered: list[bytes] = []
        self.gate = asyncio.Event()

    async def answer(self, message: bytes) -> bytes:
        if message == b"break":
            raise RuntimeError("the host has a defect")
        if message == b"later":
            await self.gate.wait()
        self.answered.append(message)
        return message.upper()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Host, LineServer, Line]]:
    host = Host()
    server = LineServer(host.answer)
    line = await Line.open(**await server.where(HERE))
    try:
        yield host, server, line
    finally:
        await line.close()
        await server.close()


async def test_each_gets_its_own_answer_in_whatever_order_they_come() -> None:
    async with connected() as (host, _, line):
        slow = asyncio.create_task(line.ask(b"later"))
        fast = [line.ask(str(number).encode() * 1000) for number in range(50)]
        assert await asyncio.gather(*fast) == [str(number).encode() * 1000 for number in range(50)]
        assert not slow.done()
        host.gate.set()
        assert await slow == b"LATER"


async def test_a_large_message_comes_whole() -> None:
    async with connected() as (_, _, line):
        assert len(await line.ask(b"a" * 20_000_000)) == 20_000_000


async def test_who_has_not_the_key_gets_no_line() -> None:
    async with connected() as (host, server, _):
        where = await server.where(HERE)
        for key in ("", "0" * 64, "ä"):
            with pytest.raises((ClientError, ValueError)):
                await Line.open(where["url"], key)
        assert host.answered == []


async def test_a_host_that_goes_fails_whoever_waits_and_whoever_asks_after() -> None:
    async with connected() as (_, server, line):
        waiting = asyncio.create_task(line.ask(b"later"))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(server.close())
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(waiting, 30)
        closing.cancel()
        assert line.broken
        with pytest.raises(ConnectionError):
            await line.ask(b"more")


async def test_a_defect_in_the_host_breaks_the_line_and_is_not_waited_for() -> None:
    async with connected() as (_, _, line):
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(line.ask(b"break"), 30)


async def test_what_was_begun_is_ended_although_the_line_broke() -> None:
    async with connected() as (host, _, line):
        asked = asyncio.create_task(line.ask(b"later"))
        await asyncio.sleep(0.05)
        await line.close()
        with pytest.raises(ConnectionError):
            await asked
        host.gate.set()
        async with asyncio.timeout(30):
            while host.answered != [b"later"]:
                await asyncio.sleep(0.01)


async def test_a_line_over_ipv6() -> None:
    server = LineServer(Host().answer)
    where = await server.where("::1")
    if not where["url"]:
        pytest.skip("no IPv6 here")
    line = await Line.open(**where)
    assert await line.ask(b"one") == b"ONE"
    await line.close()
    await server.close()


async def test_an_address_that_cannot_be_listened_at_gives_no_line() -> None:
    server = LineServer(Host().answer)
    assert (await server.where("203.0.113.7"))["url"] == ""


@pytest.mark.parametrize("setting", ["1", "true", "True"])
async def test_a_cluster_that_encrypts_gets_no_line(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("RAY_USE_TLS", setting)
    assert (await LineServer(Host().answer).where(HERE))["url"] == ""


class Remote:
    """A Ray handle's shape: `handle.method.remote(message)`."""

    def __init__(self, host: Host, server: LineServer, url: str | None = None) -> None:
        self.through_ray = 0
        self._host, self._server, self._url = host, server, url

    @property
    def line(self) -> Any:
        async def where(_: bytes) -> bytes:
            found = await self._server.where(HERE)
            return encode({"ok": found if self._url is None else found | {"url": self._url}})

        return _Method(where)

    @property
    def answer(self) -> Any:
        async def through(message: bytes) -> bytes:
            self.through_ray += 1
            return await self._host.answer(message)

        return _Method(through)


class _Method:
    def __init__(self, remote: Any) -> None:
        self.remote = remote


@pytest.mark.parametrize("url", [None, "ws://127.0.0.1:9/", ""])
async def test_messages_go_through_ray_where_no_line_can_be_had(url: str | None) -> None:
    host = Host()
    server = LineServer(host.answer)
    remote = Remote(host, server, url)
    direct = Direct(HostRef("a host", lambda: remote), "answer")
    assert [await direct.ask(b"one"), await direct.ask(b"two")] == [b"ONE", b"TWO"]
    assert remote.through_ray == (0 if url is None else 2)
    await server.close()


async def test_nobody_waits_for_a_line_that_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_line, "OPEN_SECONDS", 3600.0)
    silent = socket.create_server((HERE, 0))  # Linux connects to it, and then nothing is said
    host = Host()
    remote = Remote(host, LineServer(host.answer), f"ws://{HERE}:{silent.getsockname()[1]}/")
    direct = Direct(HostRef("a host", lambda: remote), "answer")
    async with asyncio.timeout(60):
        assert await asyncio.gather(direct.ask(b"one"), direct.ask(b"two")) == [b"ONE", b"TWO"]
        assert await direct.ask(b"three") == b"THREE"
    assert remote.through_ray == 3
    silent.close()


async def test_a_sender_who_waits_for_room_learns_that_the_host_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_line, "HEARTBEAT_SECONDS", 0.5)

    async def greet_and_read_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in asked.decode().splitlines() if line.lower().startswith("sec-websocket-key"))
        secret = key.partition(":")[2].strip().encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(secret).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    server = await asyncio.start_server(greet_and_read_no_more, HERE, 0, limit=1024)
    line = await Line.open(f"ws://{HERE}:{server.sockets[0].getsockname()[1]}/", "key")
    async with asyncio.timeout(60):
        for asked in (line.ask(b"a" * 30_000_000), line.ask(b"a"), line.ask(b"a")):
            with pytest.raises(SilentHost):
                await asked
    server.close()


async def test_a_host_of_an_older_version_is_asked_through_ray() -> None:
    class Older:
        @property
        def answer(self) -> Any:
            return _Method(Host().answer)

    assert await Direct(HostRef("a host", Older), "answer").ask(b"one") == b"ONE"


async def test_a_host_that_cannot_say_where_its_line_is_fails_whoever_asks() -> None:
    def find() -> Any:
        raise RayActorError

    with pytest.raises(RayActorError):
        await Direct(HostRef("a host", find), "answer").ask(b"one")


async def test_a_line_that_broke_is_opened_again() -> None:
    host = Host()
    remote = Remote(host, LineServer(host.answer))
    direct = Direct(HostRef("a host", lambda: remote), "answer")
    assert await direct.ask(b"one") == b"ONE"
    with pytest.raises(ConnectionError):
        await direct.ask(b"break")
    assert await direct.ask(b"two") == b"TWO"
    assert remote.through_ray == 0


@pytest.mark.ray
@pytest.mark.timeout(200)
async def test_the_ledger_is_asked_over_a_line_and_over_another_once_its_keeper_was_killed(
    ray_cluster: str, tmp_path: Path
) -> None:
    home = home_of(Settings(state_dir=tmp_path / ".bessemer"))
    client = ledger_client(home)
    keeper = keeper_ref(home)
    pids = []
    try:
        for number in range(2):
            opened = await client.open_run(opening(run=f"r{number}"))
            assert opened.epoch == 1
            async with asyncio.timeout(60):
                # While the keeper starts, what is asked goes through Ray.
                while (told := await ask(keeper, "describe", b"{}", within=60))["lines"] != 1:
                    await asyncio.sleep(0.1)
            await client.renew(Renew(run=f"r{number}", owner="a", epoch=1))
            assert await client.read_spending(ReadSpending(run="r0")) == Spending()
            assert await client.read_left(ReadLeft(run="r0")) == 1000
            pids.append(told["pid"])
            os.kill(told["pid"], signal.SIGKILL)
    finally:
        ray.kill(await keeper.handle(), no_restart=True)
    assert len(set(pids)) == 2


async def test_a_host_of_an_older_version_is_told_as_one() -> None:
    class Old:
        """An actor's handle: it has what its class has, and no `receive`."""

    host = LinedHost("run/here", Old, silence=60)
    with pytest.raises(ClusterError, match=r"run/here runs an older version .*bessemer cluster down"):
        await ask(host, "watch", b"{}", within=5)
