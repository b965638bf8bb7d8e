"""Two heads on one ledger: a run belongs to one of them, and the other can only book what it has bought."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from bessemer.cluster.errors import Fenced, LedgerUnavailable, RunIsOpen
from bessemer.cluster.home import Home
from bessemer.cluster.identity import Owner
from bessemer.cluster.ledger import (
    GroupCommit,
    KeeperLock,
    Ledger,
    LedgerClient,
    Outcome,
    ReadLeft,
    Reserve,
    Reserved,
    Settle,
)
from bessemer.cluster.run import Run, Step, open_run
from bessemer.interfaces import _session
from tests._postgresql import Postgresql

LEASE = 1.0
"""Seconds; a head that was cut off stays alive and says nothing for longer."""
USAGE = {"input": 10, "cache_read": 0, "output": 5, "reasoning": 0}


class Made(BaseModel):
    by: str


class Head:
    """A keeper of its own on a shared server, and the owner name of a process on another machine."""

    def __init__(self, name: str, url: str) -> None:
        self._ledger = Ledger.open(url, lease_seconds=LEASE)
        self._keeper = GroupCommit(self._ledger)
        self.client = LedgerClient.local(self._keeper)
        self.owner = Owner("run/1", name, 1, 1)

    async def open(self, folder: Path) -> Run:
        run, _ = await open_run(
            self.client, "r", pipeline="score", pins={"plan": {}}, owner=self.owner, directory=folder,
            caps={"run:r": 1000},
        )  # fmt: skip
        return run

    async def close(self) -> None:
        await self._keeper.close()
        self._ledger.close()


@pytest.fixture
async def heads(postgresql: Postgresql) -> AsyncIterator[tuple[Head, Head]]:
    url = postgresql.new_url()
    made = Head("one.example", url), Head("two.example", url)
    yield made
    for head in made:
        await head.close()


def reserve(run: Run, index: int) -> Reserve:
    return Reserve(
        run=run.id, path="work", index=index, request_hash="0" * 64, worst=100, scopes=run.scopes, epoch=run.epoch,
        token=f"{run.epoch}:{index}", send_within=30.0, detail={"backend": "scripted/j"},
    )  # fmt: skip


async def taken_over(head: Head, folder: Path) -> Run:
    """Open the run as soon as the other's lease has run out."""
    for _ in range(200):
        try:
            return await head.open(folder)
        except RunIsOpen:
            await asyncio.sleep(LEASE / 20)
    raise AssertionError("the lease did not run out")


async def test_the_older_head_is_fenced_and_its_money_is_booked(heads: tuple[Head, Head], tmp_path: Path) -> None:
    one, two = heads
    older = await one.open(tmp_path)
    reserved = await one.client.reserve(reserve(older, 0))
    assert isinstance(reserved, Reserved)
    with pytest.raises(RunIsOpen):
        await two.open(tmp_path)
    newer = await taken_over(two, tmp_path)
    assert newer.epoch == older.epoch + 1

    async def work(step: Step) -> Made:
        return Made(by=str(step.ticket.epoch))

    with pytest.raises(Fenced):
        await older.step("other", work, result=Made)
    with pytest.raises(Fenced):
        await one.client.reserve(reserve(older, 1))
    with pytest.raises(Fenced):
        await older.close("done")
    late = Settle(attempt=reserved.attempt, epoch=older.epoch, cost=7, usage=USAGE, answer={"text": "late"})
    with contextlib.suppress(Fenced):
        assert isinstance(await one.client.settle(late), Outcome)
    made = await newer.step("other", work, result=Made)
    assert made.by == str(newer.epoch)
    await newer.close("done")
    with Ledger.open(str(two._ledger._store.engine.url.render_as_string(hide_password=False))) as ledger:
        (attempt,) = ledger.attempts("r")
        assert (attempt.charge, ledger.run("r").status) == (7, "done")
        assert ledger.apply([ReadLeft(run="r")])[0].left == 993


def test_a_second_head_on_a_ledger_in_a_file_is_told_who_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    home = Home(state_dir=str(tmp_path), ledger_url=url, lake_url=str(tmp_path), settings={}, code="")
    Ledger.open(url).close()
    monkeypatch.setattr(_session, "LOCK_WAIT_SECONDS", 0.1)
    lock = KeeperLock(tmp_path / "ledger.lock")
    lock.acquire(wait=1)
    try:
        with pytest.raises(LedgerUnavailable) as caught:
            _session.check_ledger(home, shared=False)
    finally:
        lock.release()
    assert "\n" not in caught.value.message
    _session.check_ledger(home, shared=False)
