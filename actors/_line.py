"""A direct connection to a host, for what is said to it all the time.

| object | role | lifetime |
|---|---|---|
| `LineServer` | takes messages for a host, over WebSockets | the host |
| `Line` | one connection to it | until it breaks |
| `Direct` | a host's method as callers use it: over a line, or through Ray where none can be had | the caller |
| `LinedHost` | a host whose every message goes that way | the caller |

A message through Ray costs both sides together several times the CPU of one over a line (`benchmarks/messages.py`).
Ray stays the way to find a host, to start it and to learn that it is gone. It also hands out the line's address and
key, so that whoever may not ask Ray gets no line.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, ServerTimeoutError, WSMsgType, web

from bessemer.actors._pulse import SilentHost
from bessemer.actors._wire import HostRef, opened
from bessemer.cluster.errors import BessemerError, ClusterError, InfrastructureError

Answer = Callable[[bytes], Awaitable[bytes]]

KEY = "Bessemer-Key"
NUMBER_BYTES = 4
HEARTBEAT_SECONDS = 30.0
"""A peer that says nothing for one and a half times as long is gone, and there is time to ask again elsewhere before
the ledger's patience is over; a machine with too much to do is only slow."""
OPEN_SECONDS, SOON_SECONDS = 10.0, 0.5
"""How long opening a line may take, and how long messages wait for it before they go through Ray: a firewall that
drops packets answers nothing."""
WHERE_SECONDS = 60.0
"""How long a host may take to say where its line is; it may be starting."""
WITHOUT_SECONDS = 30.0
"""How long messages go through Ray where no line could be had, before the next try."""

_log = logging.getLogger(__name__)


class LineServer:
    """Takes messages for a host. Begins to listen when it is first asked where."""

    def __init__(self, answer: Answer) -> None:
        """`answer` turns a message into its answer; where it raises, the caller's line breaks."""
        self._answer = answer
        self._key = secrets.token_hex(32)
        self._starting = asyncio.Lock()
        self._runner: web.AppRunner | None = None
        self._url = ""
        self.lines = 0
        """How many are open."""

    async def where(self, address: str = "") -> dict[str, str]:
        """URL and key; no URL where it cannot listen, or the cluster encrypts what it says, for a line does not.

        It listens at `address`, by default where Ray reaches this machine.
        """
        async with self._starting:
            if not self._url and not _encrypts():
                address = address or ray.util.get_node_ip_address()
                try:
                    self._url = await self._listen(address)
                except OSError as error:
                    # Some containers do not own the address that Ray knows them by.
                    _log.warning("no line can be offered at %s: %s", address, error)
                    await self.close()
        return {"url": self._url, "key": self._key}

    async def _listen(self, address: str) -> str:
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, address, 0).start()
        host = f"[{address}]" if ":" in address else address
        return f"ws://{host}:{self._runner.addresses[0][1]}/"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        if not hmac.compare_digest(request.headers.get(KEY, "").encode(), self._key.encode()):
            raise web.HTTPForbidden
        # No limit of size: whoever has the key is one of us, and Ray has none either.
        socket = web.WebSocketResponse(max_msg_size=0, heartbeat=HEARTBEAT_SECONDS, compress=False)
        await socket.prepare(request)
        working: set[asyncio.Task[None]] = set()
        self.lines += 1
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    task = asyncio.create_task(self._one(socket, message.data))
                    working.add(task)
                    task.add_done_callback(working.discard)
        finally:
            self.lines -= 1
        # What was begun goes on: whoever lost its line asks again, and finds it done.
        if working:
            await asyncio.wait(working)
        return socket

    async def _one(self, socket: web.WebSocketResponse, message: bytes) -> None:
        try:
            answer = await self._answer(message[NUMBER_BYTES:])
            await socket.send_bytes(message[:NUMBER_BYTES] + answer)
        except (ConnectionError, ClientError):
            return
        except BaseException as error:
            # Nobody is left waiting for an answer that does not come.
            await socket.close()
            if not isinstance(error, Exception):
                raise
            _log.exception("a message over a line failed")


def _encrypts() -> bool:
    """Whether the cluster encrypts what it says, as Ray reads the setting."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


class Line:
    """One connection. Belongs to one event loop; what is asked over it may be answered in any order."""

    def __init__(self, session: ClientSession, socket: ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._asked = 0
        self._frames: deque[bytes] = deque()
        """What is not sent yet."""
        self._writing: asyncio.Task[None] | None = None
        self.broken = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, key: str) -> Line:
        """Raises ClientError, OSError or TimeoutError where nobody is there or the key is another's."""
        session = ClientSession()
        try:
            opening = session.ws_connect(
                url, headers={KEY: key}, heartbeat=HEARTBEAT_SECONDS, max_msg_size=0, compress=0
            )
            return cls(session, await asyncio.wait_for(opening, OPEN_SECONDS))
        except BaseException:
            await session.close()
            raise

    async def ask(self, message: bytes) -> bytes:
        """The answer. Raises ConnectionError where the line breaks first, SilentHost where it fell silent."""
        if self.broken:
            raise self._why()
        self._asked += 1
        number = (self._asked % 2 ** (8 * NUMBER_BYTES)).to_bytes(NUMBER_BYTES, "big")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send(number + message)
            return await answer
        finally:
            self._waiting.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # a line that broke meanwhile is told by what is raised here

    def _send(self, frame: bytes) -> None:
        # A sender that waits for room would not notice that the line broke, and one that is cancelled there would
        # cancel all who wait for it with him: so one task writes for all.
        self._frames.append(frame)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._frames:
                await self._socket.send_bytes(self._frames.popleft())
        except Exception:
            self._reading.cancel()  # which tells whoever waits for an answer
        finally:
            self._writing = None

    def _why(self) -> ConnectionError:
        if isinstance(self._socket.exception(), ServerTimeoutError):
            return SilentHost(f"nothing was heard for {1.5 * HEARTBEAT_SECONDS:.0f} s")
        return ConnectionError("the line broke")

    async def close(self) -> None:
        for task in (self._writing, self._reading):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.BINARY:
                    break
                answer = self._waiting.get(message.data[:NUMBER_BYTES])
                if answer is not None and not answer.done():
                    answer.set_result(message.data[NUMBER_BYTES:])
        finally:
            self.broken = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(self._why())
            await self._session.close()


class Direct:
    """One method of a host, over a line that is opened when first needed and again after it broke."""

    def __init__(self, host: HostRef, method: str) -> None:
        """The host has a method `line` that answers with its LineServer's address, for `method`."""
        self._host = host
        self._method = method
        self._line: Line | None = None
        self._opening: asyncio.Task[Line | None] | None = None
        self._soon = self._without_until = 0.0

    async def ask(self, message: bytes) -> bytes:
        """The host's one answer. Raises ConnectionError where the line broke, and what Ray raises."""
        line = await self._open()
        if line is not None:
            return await line.ask(message)
        handle = await self._host.handle()
        answer: bytes = await getattr(handle, self._method).remote(message)
        return answer

    async def close(self) -> None:
        """Close the line; it is opened again when it is needed."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._line is not None:
            await self._line.close()
        self._line = None

    async def _open(self) -> Line | None:
        """The line; None where none can be had, or not soon."""
        if self._line is not None and not self._line.broken:
            return self._line
        if self._opening is None:
            if time.monotonic() < self._without_until:
                return None
            self._soon = time.monotonic() + SOON_SECONDS
            self._opening = asyncio.create_task(self._begin())
            self._opening.add_done_callback(self._opened)
        opening = self._opening
        await asyncio.wait([opening], timeout=max(self._soon - time.monotonic(), 0))
        return opening.result() if opening.done() else None

    def _opened(self, opening: asyncio.Task[Line | None]) -> None:
        self._opening = None
        # Whoever waits for it raises what it failed with; nobody may.
        self._line = None if opening.cancelled() or opening.exception() else opening.result()

    async def _begin(self) -> Line | None:
        """Open a line. Raises what Ray raises where the host is gone; else a failure is told and leaves none."""
        handle = await self._host.handle()
        url, line = "", getattr(handle, "line", None)
        try:
            if line is None:
                raise InfrastructureError("it is of an older version, which has none")
            async with asyncio.timeout(WHERE_SECONDS):
                where = opened(await line.remote(b"{}"))
            if url := where["url"]:
                return await Line.open(url, where["key"])
        except (ClientError, OSError, TimeoutError, BessemerError) as error:
            _log.warning("no line to %s at %r: %s; its messages go through Ray", self._host.name, url, error)
        self._without_until = time.monotonic() + WITHOUT_SECONDS
        return None


class LinedHost(HostRef):
    """A host that has `receive` for everything it is told: the method's name, a line break, and the payload."""

    def __init__(self, name: str, find: Callable[[], Any], *, silence: float) -> None:
        super().__init__(name, find, silence=silence)
        self._direct = Direct(self, "receive")

    async def send(self, method: str, payload: bytes) -> bytes:
        """As HostRef's; also raises ConnectionError where the line broke, ClusterError at a host without `receive`."""
        try:
            return await self._direct.ask(method.encode() + b"\n" + payload)
        except AttributeError as error:
            if "receive" not in str(error):
                raise
            raise ClusterError(
                f"{self.name} runs an older version of Bessemer, which cannot be told anything by this one; use the "
                "version that started it, or end it with `bessemer cluster down`"
            ) from None

    async def close(self) -> None:
        """Close the line to it; it is opened again when it is needed."""
        await self._direct.close()
