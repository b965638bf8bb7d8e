"""A host that hangs is ended and started anew; one that is only slow, busy or starting is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import RayActorError

from bessemer.actors import _line
from bessemer.actors._line import Direct, LineServer
from bessemer.actors._pulse import Living, Pulse
from bessemer.actors._wire import MESSAGES, HostRef, ask, encode, find_or_make, opened, reply

pytestmark = [pytest.mark.ray, pytest.mark.timeout(200)]


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class Sleeper(Living):
    """Answers its process id, after a while if asked to."""

    def __init__(self) -> None:
        self._line = LineServer(self.work)

    @reply
    async def line(self, payload: bytes) -> dict[str, str]:
        return await self._line.where()

    @reply
    async def stand_still(self, payload: bytes) -> None:
        time.sleep(float(payload))

    @reply
    async def work(self, payload: bytes) -> int:
        await asyncio.sleep(float(payload))
        return os.getpid()


@pytest.fixture
def sleeper(ray_cluster: str, request: pytest.FixtureRequest) -> Any:
    host = HostRef("sleeper", find_or_make(Sleeper, request.node.name, "test-pulse"), silence=3.0)
    yield host
    ray.kill(ray.get_actor(request.node.name, namespace="test-pulse"), no_restart=True)


async def stop(pid: int) -> None:
    """Stop a process. One of its threads has to run before the others are stopped, and they work until it did."""
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(30):
        while not all(thread.status() == "stopped" for thread in _threads(pid)):
            await asyncio.sleep(0.01)


def _threads(pid: int) -> Iterator[psutil.Process]:
    return (psutil.Process(thread.id) for thread in psutil.Process(pid).threads())


async def test_a_host_that_hangs_in_mid_work_is_started_anew_and_the_work_is_done(sleeper: HostRef) -> None:
    first = await ask(sleeper, "work", b"0", within=60)
    waiting = asyncio.create_task(ask(sleeper, "work", b"1", within=120))
    await asyncio.sleep(0.3)
    await stop(first)
    assert await waiting != first


async def test_a_host_whose_event_loop_stands_still_is_started_anew(sleeper: HostRef) -> None:
    first = await ask(sleeper, "work", b"0", within=60)
    (await sleeper.handle()).stand_still.remote(b"600")
    assert await ask(sleeper, "work", b"0", within=120) != first


async def test_a_host_that_hung_before_it_was_asked_is_found_out_too(sleeper: HostRef) -> None:
    first = await ask(sleeper, "work", b"0", within=60)
    await stop(first)
    assert await ask(sleeper, "work", b"0", within=120) != first


async def test_a_host_that_hangs_while_it_is_asked_over_a_line_is_started_anew(
    sleeper: HostRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The line falls silent long before the host counts as hung.
    monkeypatch.setattr(_line, "HEARTBEAT_SECONDS", 0.5)
    direct = Direct(sleeper, "work")

    async def work() -> int:
        while True:
            try:
                with sleeper.waiting():
                    return int(opened(await direct.ask(b"0")))
            except (ConnectionError, RayActorError):
                sleeper.forget()
                await asyncio.sleep(0.2)

    async with asyncio.timeout(120):
        while direct._line is None:
            first = await work()
        await stop(first)
        assert await work() != first


async def test_long_work_and_a_full_house_are_no_silence(sleeper: HostRef, request: pytest.FixtureRequest) -> None:
    # More than a busy machine takes to bring so many questions to a host, and less than the work takes.
    patient = HostRef("sleeper", find_or_make(Sleeper, request.node.name, "test-pulse"), silence=12.0)
    first = await ask(patient, "work", b"0", within=60)
    crowd = [asyncio.create_task(ask(patient, "work", b"15", within=150)) for _ in range(1200)]
    assert set(await asyncio.gather(*crowd)) == {first}


class Starting:
    """A host as Ray shows it while its process starts: it is there, and answers nothing."""

    name = "starting"

    def __init__(self) -> None:
        self.alive = self

    def remote(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    async def handle(self) -> Any:
        return self

    def forget(self) -> None:
        return


@pytest.mark.parametrize(("lost", "ended"), [(None, True), (ConnectionError(), False), (RayActorError(), False)])
async def test_a_host_that_was_lost_may_take_its_time_to_start(
    monkeypatch: pytest.MonkeyPatch, lost: Exception | None, ended: bool
) -> None:
    killed: list[Any] = []
    monkeypatch.setattr("bessemer.actors._pulse.ray.kill", lambda handle, **_: killed.append(handle))
    pulse = Pulse(Starting(), silence=0.6)
    with pulse.waiting():
        """Answered: it is up."""
    if lost:
        with pytest.raises(type(lost)), pulse.waiting():
            raise lost
    with pytest.raises(TimeoutError), pulse.waiting():
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), 3)
    assert bool(killed) == ended


async def test_who_could_not_have_heard_an_answer_does_not_count_it_as_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Any] = []
    monkeypatch.setattr("bessemer.actors._pulse.ray.kill", lambda handle, **_: killed.append(handle))
    pulse = Pulse(Starting(), silence=0.6)
    with pulse.waiting():
        """Answered: it is up."""
    with pytest.raises(TimeoutError), pulse.waiting():
        async with asyncio.timeout(3):
            while True:
                # The loop itself stands still, for longer than two questions wait.
                time.sleep(0.25)
                await asyncio.sleep(0)
    assert not killed


async def test_a_host_that_cannot_be_found_ends_at_the_deadline() -> None:
    def find() -> Any:
        raise ConnectionError("no cluster")

    with pytest.raises(Exception, match="gone did not come back within 1 s"):
        await ask(HostRef("gone", find), "work", encode({}), within=1)
