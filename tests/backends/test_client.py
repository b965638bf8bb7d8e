"""Calls of one loop turn travel together, and a host that dies on the way loses none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from bessemer.actors._backend_client import BUSY, BackendClient
from bessemer.actors._calls import read_answer
from bessemer.actors._mailboxes import Mailboxes
from bessemer.actors._polling import Poll
from bessemer.actors._wire import HostRef
from bessemer.actors.backends.base import Reply
from bessemer.cluster.errors import ClusterError, Fenced
from bessemer.cluster.home import Home

from .test_service import House, call


class Remote:
    """A method of an actor handle, without the actor."""

    def __init__(self, method: Any) -> None:
        self.remote = method


class Handle:
    """What an actor handle looks like to the client, over a service in this process. It offers no line."""

    def __init__(self, house: House, name: str) -> None:
        self.polls: list[Poll] = []
        self.die_after: int | None = None
        """Answers until it dies."""
        self.house = house
        self.name = name
        self.poll = Remote(self._poll)
        self.alive = Remote(self._alive)
        self.start()

    def start(self) -> None:
        self.mailboxes = Mailboxes(self.house.open(self.name))

    async def _alive(self) -> bool:
        return True

    async def _poll(self, payload: bytes) -> bytes:
        self.polls.append(Poll.model_validate_json(payload))
        mailboxes = self.mailboxes
        answer = await mailboxes.poll(payload)
        if self.die_after == 0:
            self.die_after = None
            self.start()
        if mailboxes is not self.mailboxes:
            raise ActorDiedError
        if self.die_after is not None:
            self.die_after -= 1
        return answer

    @property
    def batches(self) -> list[int]:
        """How many calls each poll brought that brought any."""
        return [len(poll.calls) for poll in self.polls if poll.calls]


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
    assert cluster.handles["backend/scripted"].batches == [20]
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
    assert handle.polls[-1].in_hand is not None, "the new host was told all that is in hand"
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
