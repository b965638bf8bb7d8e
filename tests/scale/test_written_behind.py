"""Steps whose result follows from their calls are written a moment later, together, and none of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from bessemer.cluster import _behind
from bessemer.cluster.errors import Fenced, LedgerRefusal
from bessemer.cluster.identity import this_process
from bessemer.cluster.ledger import GroupCommit, LakeRecord, Ledger, LedgerClient
from bessemer.cluster.ledger.operations import answers_json, operations_json
from bessemer.cluster.run import Run, Step, open_run


class Made(BaseModel):
    by: str


class World:
    """A ledger, and clients that say what they send; what they send may be held up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
        self.keeper = GroupCommit(self.ledger)
        self.messages: list[list[str]] = []
        self.open_way = asyncio.Event()
        self.open_way.set()

    async def send(self, payload: bytes) -> bytes:
        operations = operations_json.validate_json(payload)
        await self.open_way.wait()
        self.messages.append([operation.op for operation in operations])
        return answers_json.dump_json(await self.keeper.submit(operations))

    async def run(self) -> Run:
        run, _ = await open_run(
            LedgerClient(self.send), "r", pipeline="score", pins={"plan": {}}, owner=this_process("test"),
            directory=self.folder, caps={},
        )  # fmt: skip
        return run

    @property
    def done(self) -> list[str]:
        return [step.path for step in self.ledger.steps("r") if step.done]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.keeper.close()
    made.ledger.close()


async def echo(step: Step) -> Made:
    return Made(by=step.path)


async def test_ends_travel_together_and_are_there_before_the_run_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They wait for as long as it takes, and closing does not wait with them.
    monkeypatch.setattr(_behind, "COMPANY_SECONDS", 3600.0)
    run = await world.run()
    del world.messages[:]
    for number in range(40):
        made = await run.within("part").step(f"s{number}", echo, result=Made, derived=True)
        assert made.by == f"part/s{number}"
        await asyncio.sleep(0.001)
    await run.close("done")
    assert len(world.done) == 40
    assert world.messages == [40 * ["finish_step"], ["close_run"]]


async def test_a_step_that_is_not_derived_is_durable_when_it_returns(world: World) -> None:
    run = await world.run()
    await run.step("waits", echo, result=Made)
    assert world.done == ["waits"]


async def test_what_was_not_written_when_its_process_was_lost_is_done_again_and_the_lost_one_changes_nothing(
    world: World,
) -> None:
    lost = await world.run()
    world.open_way.clear()
    assert (await lost.step("s", echo, result=Made, derived=True)).by == "s"
    await asyncio.sleep(0.15)
    holder = GroupCommit(world.ledger)
    again, _ = await open_run(
        LedgerClient.local(holder), "r", pipeline="score", pins={"plan": {}}, owner=this_process("test"),
        directory=world.folder, caps={},
    )  # fmt: skip
    calls: list[str] = []

    async def counted(step: Step) -> Made:
        calls.append(step.path)
        return Made(by=step.path)

    assert (await again.step("s", counted, result=Made, derived=True)).by == "s"
    world.open_way.set()
    with pytest.raises(Fenced):
        await lost.close("done")
    await again.close("done")
    assert (calls, world.done) == (["s"], ["s"])
    assert world.ledger.run("r").status == "done"
    await holder.close()


async def test_an_end_that_is_refused_fails_the_run_once_and_the_run_can_be_freed(world: World) -> None:
    run = await world.run()

    async def unkeepable(step: Step) -> Made:
        step.record(LakeRecord(table="scores", row={"score": float("nan")}))
        return Made(by="nobody")

    await run.step("bad", unkeepable, result=Made, derived=True)
    await run.step("good", echo, result=Made, derived=True)
    with pytest.raises(LedgerRefusal, match="cannot be kept as JSON"):
        await run.close("done")
    assert world.done == ["good"]
    await run.close("interrupted")
    assert world.ledger.run("r").status == "interrupted"


async def test_whoever_is_cancelled_while_closing_loses_no_end(world: World) -> None:
    run = await world.run()
    world.open_way.clear()
    await run.step("s", echo, result=Made, derived=True)
    closing = asyncio.create_task(run.close("done"))
    # It waits, and the end is not yet on its way.
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    world.open_way.set()
    await run.close("interrupted")
    assert world.done == ["s"]
