"""A step that does not end is ended, whatever it waits for, and the run can go on from there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import BaseModel

from bessemer.cluster.errors import StepOverdue
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
