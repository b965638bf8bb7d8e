"""Calls of one loop turn travel together, and a host that dies on the way loses none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from bessemer.actors._backend_client import BUSY, BackendClient
from bessemer.actors._call_stream import CallStream
from bessemer.actors._calls import CallEnvelope, envelopes_json, read_answer
from bessemer.actors._wire import HostRef, decode
from bessemer.actors.backends.base import Reply
from bessemer.cluster.errors import ClusterError, Fenced
from bessemer.cluster.home import Home

from .test_service import House, call


class Remote:
    """A method of an actor handle, without the actor."""

    def __init__(self, method: Any) -> None:
        self.remote = method

    def options(self, **_: Any) -> Remote:
        return self


class Handle:
    """What an actor handle looks like to the client, over a service in this process."""

    def __init__(self, house: House, name: str) -> None:
        self.batches: list[list[CallEnvelope]] = []
        self.die_after: int | None = None
        self.house = house
        self.name = name
        self.calls = CallStream(house.open(name))
        self.submit = Remote(self._submit)
        self.cancel = Remote(self._cancel)

    async def _submit(self, payload: bytes) -> AsyncGenerator[Any, None]:
        self.batches.append(envelopes_json.validate_json(payload))
        sent = 0
        async for message in self.calls.submit(payload):
            if sent == self.die_after:
                self.die_after = None
                self.calls = CallStream(self.house.open(self.name))
                raise ActorDiedError
            sent += 1
            ready: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            ready.set_result(message)
            yield ready

    async def _cancel(self, payload: bytes) -> int:
        return self.calls.cancel(decode(payload))


class Cluster:
    def __init__(self, house: House, hosts: int = 1) -> None:
        self.handles: dict[str, Handle] = {}
        self.house = house
        settings = house.settings.model_copy(update={"hosts": hosts}).model_dump(mode="json")
        home = Home(code="1", state_dir="/s", ledger_url="l", lake_url="k", settings={"backends": settings})
        self.client = BackendClient(home, self.find)

    def find(self, name: str) -> HostRef:
        self.handles[name] = Handle(self.house, name)
        return HostRef(name, lambda: self.handles[name])


async def test_calls_of_one_turn_travel_together(tmp_path: Path) -> None:
    cluster = Cluster(House(tmp_path, "default: {text: done}"))
    ended = await asyncio.gather(*(cluster.client.call(call(index=number)) for number in range(20)))
    assert all(isinstance(read_answer(one), Reply) for one in ended)
    assert [len(batch) for batch in cluster.handles["backend/scripted"].batches] == [20]
    assert cluster.client.in_hand() == {"backend/scripted": 0}


async def test_more_hosts_join_under_load(tmp_path: Path) -> None:
    cluster = Cluster(House(tmp_path, "default: {text: done, latency: 0.05}"), hosts=2)
    await asyncio.gather(*(cluster.client.call(call(index=number)) for number in range(BUSY + 50)))
    assert sorted(cluster.handles) == ["backend/scripted", "backend/scripted#2"]
    assert all(handle.batches for handle in cluster.handles.values())


async def test_a_dead_host_is_asked_again_and_nothing_settled_is_bought_twice(tmp_path: Path) -> None:
    house = House(tmp_path, "rules: [{match: {text: slow}, answer: {text: late, latency: 0.2}}]\ndefault: {text: done}")
    cluster = Cluster(house)
    handle_ready = cluster.client.call(call("first", index=100))
    await handle_ready
    handle = cluster.handles["backend/scripted"]
    handle.die_after = 1
    work = [cluster.client.call(call("slow" if number % 2 else "quick", index=number)) for number in range(10)]
    ended = await asyncio.gather(*work)
    assert all(isinstance(read_answer(one), Reply) for one in ended)
    assert len(house.ledger.outcomes) == 11
    assert all(envelope.lost_hosts == ("backend/scripted",) for envelope in handle.batches[-1])
    assert all(state in ("settled", "in_doubt") for state in house.ledger.states())
    assert len(house.bought) == len(house.ledger.attempts)


async def test_errors_arrive_as_themselves(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done}")

    async def fenced(_: Any, /) -> Any:
        raise Fenced("epoch 2 holds run r", {"epoch": 2})

    house.ledger.reserve = fenced  # type: ignore[method-assign]
    with pytest.raises(Fenced, match="epoch 2") as caught:
        await Cluster(house).client.call(call())
    assert caught.value.facts == {"epoch": 2}


async def test_a_host_that_never_comes_back_ends_at_the_deadline(tmp_path: Path) -> None:
    cluster = Cluster(House(tmp_path, "default: {text: done}"))

    def gone(_: str) -> HostRef:
        def find() -> Any:
            raise ActorDiedError

        return HostRef("backend/scripted", find)

    cluster.client._find = gone
    with pytest.raises(ClusterError, match="did not come back"):
        await cluster.client.call(call(within=0.2))


async def test_a_cancelled_call_is_ended_at_the_host(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: late, latency: 60}")
    cluster = Cluster(house)
    task = asyncio.create_task(cluster.client.call(call()))
    while not house.bought:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while house.ledger.states() != ["in_doubt"]:
        await asyncio.sleep(0.001)
