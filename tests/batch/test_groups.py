"""Which calls share a batch, and when it leaves."""

from __future__ import annotations

import asyncio

from bessemer.actors._call_accounting import Progress
from bessemer.actors._calls import CallEnvelope
from bessemer.actors._parked import waits
from bessemer.actors.backends.base import ModelRequest
from bessemer.actors.batch import Encoded, custom_id
from bessemer.actors.batch._groups import Groups, Waiting


def waiting(size: int = 10, group: str = "g", cell: str = "") -> Waiting:
    request = ModelRequest(backend="anthropic/m", prompt="p")
    envelope = CallEnvelope(run="r", path="p", index=0, epoch=1, scopes=(), request=request)
    made = Waiting(envelope, asyncio.get_running_loop().create_future(), Progress(0.0, 0.0))
    made.encoded, made.cell = Encoded("k", group, None, size), cell
    return made


async def test_a_full_group_leaves_at_once() -> None:
    left: list[list[Waiting]] = []
    groups = Groups(3, 100, 60, left.append)
    for _ in range(7):
        groups.add(waiting())
    assert [len(one) for one in left] == [3, 3]
    assert groups.forming() == 1
    groups.clear()


async def test_bytes_limit_a_group_and_a_large_call_goes_alone() -> None:
    left: list[list[Waiting]] = []
    groups = Groups(100, 25, 60, left.append)
    sizes = [10, 10, 10, 500]
    for size in sizes:
        groups.add(waiting(size))
    assert [[one.encoded.size for one in some if one.encoded] for some in left] == [[10, 10], [10], [500]]
    assert groups.forming() == 0


async def test_groups_and_cells_do_not_mix() -> None:
    left: list[list[Waiting]] = []
    groups = Groups(2, 100, 60, left.append)
    for group, cell in (("a", ""), ("b", ""), ("a", "0"), ("a", "1"), ("a", "")):
        groups.add(waiting(group=group, cell=cell))
    assert len(left) == 1
    assert groups.forming() == 3
    groups.clear()


async def test_the_oldest_call_decides_when_a_group_leaves_and_a_call_can_be_taken_back() -> None:
    left: list[list[Waiting]] = []
    groups = Groups(100, 1000, 0.05, left.append)
    first, second = waiting(), waiting()
    groups.add(first)
    groups.add(second)
    assert groups.remove(second)
    assert not groups.remove(second)
    async with asyncio.timeout(10):
        while not left:
            await asyncio.sleep(0.01)
    assert left == [[first]]


def test_a_custom_id_is_32_hex_characters_of_the_attempts_key() -> None:
    made = custom_id("run|step/1|0|1")
    assert made == custom_id("run|step/1|0|1") != custom_id("run|step/1|0|2")
    assert len(made) == 32
    assert int(made, 16)


def test_a_run_waits_when_every_step_under_way_has_a_submitted_call() -> None:
    assert waits({"item/1", "item/2"}, {"item/1", "item/2"})
    assert waits({"round-1", "round-1/guard"}, {"round-1/guard"})
    assert not waits({"item/1", "item/10"}, {"item/10"})
    assert not waits({"item/1", "probe"}, {"item/1"})
    assert not waits(set(), {"item/1"})
