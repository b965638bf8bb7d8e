"""A step that does not end is ended, whatever it waits for, and the run can go on from there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import BaseModel

from bessemer.cluster.errors import Cancelled, StepOverdue
from bessemer.cluster.identity import this_process
from bessemer.cluster.ledger import GroupCommit, Ledger, LedgerClient
from bessemer.cluster.run import Run, Step, open_run


class Made(BaseModel):
    by: str


async def opened(client: LedgerClient, folder: Path) -> Run:
    owner = this_process("test")
    run, _ = await open_run(client, "r", pipeline="score", pins={"plan": {}}, owner=owner, directory=folder, caps={})
    return run


async def test_a_step_past_its_deadline_is_ended_and_done_again_by_the_next_execution(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    keeper = GroupCommit(ledger)
    client = LedgerClient.local(keeper)
    ended: list[str] = []

    async def hangs(step: Step) -> Made:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(step.path)
        return Made(by="nobody")

    async def works(step: Step) -> Made:
        return Made(by="the second execution")

    async def times_out(step: Step) -> Made:
        raise TimeoutError("its own")

    run = await opened(client, tmp_path)
    run.step_seconds = 0.05
    with pytest.raises(StepOverdue, match=r"step 'part/waits' of run r did not end within 0 s .*run resume r"):
        await run.within("part").step("waits", hangs, result=Made)
    assert ended == ["part/waits"]
    assert not run.under_way
    with pytest.raises(TimeoutError, match="its own"):
        await run.step("other", times_out, result=Made)
    await run.close("interrupted")

    again = await opened(client, tmp_path)
    made = await again.within("part").step("waits", works, result=Made)
    assert made.by == "the second execution"
    await keeper.close()
    ledger.close()


async def test_parts_of_a_run_settle_down_and_stop_with_it_and_what_is_let_go_is_not_waited_for(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    keeper = GroupCommit(ledger)
    run = await opened(LedgerClient.local(keeper), tmp_path)
    begun, gate = asyncio.Event(), asyncio.Event()

    async def waits(step: Step) -> Made:
        begun.set()
        await gate.wait()
        return Made(by=step.path)

    part = run.within("part")
    working = asyncio.create_task(part.step("waits", waits, result=Made))
    await begun.wait()
    settling = asyncio.create_task(run.settle_down(60))
    await asyncio.sleep(0)
    assert run.under_way == {"part/waits"}
    assert not settling.done(), "a part's step is one of the run's"
    part.let_go()
    await asyncio.wait_for(settling, 10)
    assert not working.done()
    run.stop()
    with pytest.raises(Cancelled, match="asked to stop before step 'part/next'"):
        await part.step("next", waits, result=Made)
    gate.set()
    assert (await working).by == "part/waits"
    await keeper.close()
    ledger.close()
