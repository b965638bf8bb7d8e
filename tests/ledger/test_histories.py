"""Thousands of generated histories of a ledger, against an independent model and raw SQL.

Hosts work on two runs that share a cap. Operations gather in a group and are committed together, as the keeper does
it; a crash loses the group that was not committed, or only its acknowledgement. Vendors bill what was sent, hosts send
only what was acknowledged to them and never after `send_by`, and a lake writer publishes with crashes of its own.

The file survives the "crashes" because the process does: what is tried here is what a restart sees, not what a power
cut leaves, so the files are opened without waiting for the disk (`durable=False`) and lie in memory where there is a
/dev/shm.
"""

from __future__ import annotations

import contextlib
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from bessemer.cluster.ledger import (
    BeginStep,
    CloseRun,
    Doubt,
    FinishStep,
    GiveUp,
    Observe,
    ReadLeft,
    ReadSpending,
    Recall,
    Record,
    Release,
    Renew,
    Reserve,
    Resolve,
    SetCap,
    Settle,
    Submit,
    Sweep,
)
from bessemer.cluster.ledger.operations import Operation
from tests._postgresql import Postgresql
from tests.ledger._bench import (
    SHARED,
    Bench,
    ages,
    hashes,
    indexes,
    move,
    owners,
    parkings,
    picks,
    runs,
    shares,
    thens,
    worsts,
)
from tests.ledger._history import History, row_name
from tests.ledger._model import OPEN, Attempt, said

HISTORIES = 2000
STEPS = 20


class Histories(History):
    """Everything that hosts, people, crashes and the lake writer may do, in any order."""

    @move(8, run=runs, index=indexes, worst=worsts, hash_=hashes, age=ages, parked=parkings, then=thens, share=shares)
    def buy(self, run: str, index: int, worst: int, hash_: str, age: int, parked: bool, then: str, share: int) -> None:
        """A reservation, alone or with what its host does next once it is acknowledged."""
        operation = Reserve(
            run=run,
            path="s",
            index=index,
            request_hash=hash_,
            worst=worst,
            scopes=(SHARED, f"run:{run}"),
            epoch=self.epoch(run, age),
            token=self.next("k"),
            send_within=5,
            answer_within=20,
            parked=parked,
        )
        self.ask(operation)
        if then == "nothing":
            return
        self.commit()
        made = next((one for one in self.model.attempts if one.token == operation.token), None)
        if made is None:
            return
        if made.state == "parked":
            self.ask(Submit(attempts=(made.id,), batch=self.next("batch")))
            self.commit()
        elif made.id in self.sendable:
            del self.sendable[made.id]
            self.billed[made.id] = 0 if then == "refused" else made.worst * share // 4
        if then == "answered" and made.id in self.billed:
            self.answer(made, self.epoch(run, age))
        elif then == "refused" and self.billed.get(made.id) == 0:
            self.ask(Release(attempt=made.id, reason="429"))
        elif then == "lost":
            self.ask(Doubt(attempt=made.id, reason="timeout"))

    def answer(self, one: Attempt, epoch: int) -> None:
        answer, cost = f"answer to {one.id}", self.billed[one.id]
        self.ask(Settle(attempt=one.id, epoch=epoch, cost=cost, usage={}, answer=answer, rows=self.row()))

    @move(1, which=picks, share=shares)
    def send(self, which: int, share: int) -> None:
        """A host sends what was acknowledged to it, even one that was cut off and fenced meanwhile; never too late."""
        ready = sorted(one for one, send_by in self.sendable.items() if self.clock.now <= send_by)
        if ready:
            attempt = ready[which % len(ready)]
            one = self.model.find(attempt)
            assert one is not None
            self.billed.setdefault(attempt, one.worst * share // 4)
            del self.sendable[attempt]

    @move(3, which=picks, age=ages, beyond=st.sampled_from([0] * 9 + [7]))
    def settle(self, which: int, age: int, beyond: int) -> None:
        """An answer comes, in time or late, to whatever epoch its host believes in; rarely billed beyond its limit."""
        answered = [one for one in self.model.attempts if one.id in self.billed]
        if not answered:
            return
        one = answered[which % len(answered)]
        if beyond and one.state not in ("settled", "settled_late"):
            self.billed[one.id], self.honest = one.worst + beyond, False
        self.answer(one, self.epoch(one.call[0], age))

    @move(2, which=picks, lie=st.sampled_from([False] * 9 + [True]))
    def release(self, which: int, lie: bool) -> None:
        """What was not billed: never sent, or refused. A vendor that bills it after all makes a liar of us."""
        self.commit()
        one = self.pick((*OPEN, "in_doubt", "settled", "resolved"), which)
        if one is None:
            return
        if self.billed.get(one.id, 0) > 0:
            if not lie:
                return
            self.honest = False
        elif one.id not in self.sendable and one.state in ("reserved", "in_doubt") and self.clock.now <= one.send_by:
            # Some other host may have it in hand for all this one knows.
            return
        self.sendable.pop(one.id, None)
        self.ask(Release(attempt=one.id, reason="not billed"))

    @move(1, which=picks)
    def doubt(self, which: int) -> None:
        one = self.pick(("reserved", "submitted", "in_doubt", "settled", "released"), which)
        if one is not None:
            self.sendable.pop(one.id, None)
            self.ask(Doubt(attempt=one.id, reason="timeout"))

    @move(1, first=picks, second=picks)
    def submit(self, first: int, second: int) -> None:
        found = {one.id for one in (self.pick(("parked",), first), self.pick(OPEN, second)) if one is not None}
        if found:
            self.ask(Submit(attempts=tuple(sorted(found)), batch=self.next("batch")))

    @move(1)
    def sweep(self) -> None:
        self.ask(Sweep())

    @move(2, which=picks)
    def resolve(self, which: int) -> None:
        """A person says what was billed, truly; too early is refused."""
        one = self.pick(("in_doubt",), which)
        if one is not None:
            cost = self.billed.get(one.id, 0)
            self.ask(Resolve(attempt=one.id, cost=cost, evidence="invoice", by="ann"))

    @move(1, run=runs, index=indexes, age=ages)
    def give_up(self, run: str, index: int, age: int) -> None:
        epoch = self.epoch(run, age)
        self.ask(GiveUp(run=run, path="s", index=index, epoch=epoch, failure=self.next("failure"), rows=self.row()))

    @move(2, run=runs, path=st.sampled_from(["", "s", "other"]))
    def look(self, run: str, path: str) -> None:
        """Somebody asks how the money stands, amid what the others do."""
        self.ask(ReadSpending(run=run, path=path))
        self.ask(ReadLeft(run=run))

    @move(3, run=runs, age=ages, what=st.sampled_from(["begin", "finish", "finish", "observe", "record", "renew"]))
    def remember(self, run: str, age: int, what: str) -> None:
        epoch = self.epoch(run, age)
        match what:
            case "begin":
                self.ask(BeginStep(run=run, path="s", epoch=epoch))
            case "finish":
                self.ask(FinishStep(run=run, path="s", epoch=epoch, result=self.serial % 3, rows=self.row()))
            case "observe":
                self.ask(Observe(run=run, path="", name="clock", value=self.next("value"), epoch=epoch))
                self.ask(Recall(run=run, path="", name="clock"))
            case "record":
                self.ask(Record(token=self.next("record"), rows=self.row()))
            case _:
                self.ask(Renew(run=run, owner="ab"[self.serial % 2], epoch=epoch))

    # --- who holds a run ---

    @move(2, run=runs, owner=owners, take_over=st.booleans())
    def open_run(self, run: str, owner: str, take_over: bool) -> None:
        self.ask(self.opening(run, owner, take_over=take_over))

    @move(1, run=runs, age=ages, status=st.sampled_from(["interrupted", "interrupted", "budget", "cancelled", "done"]))
    def close_run(self, run: str, age: int, status: Any) -> None:
        self.ask(CloseRun(run=run, epoch=self.epoch(run, age), status=status, rows=self.row()))

    @move(
        1,
        scope=st.sampled_from(["run:r1", "run:r2", SHARED]),
        cap=st.sampled_from([None, 0, 30, 60, 200]),
        step=st.sampled_from([1, 1, 1, 0, 2]),
    )
    def set_cap(self, scope: str, cap: int | None, step: int) -> None:
        self.ask(SetCap(scope=scope, cap=cap, version=self.model.caps[scope][1] + step))

    # --- what goes wrong ---

    @move(3, seconds=st.sampled_from([1.0, 6.0, 16.0, 30.0, 4000.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.commit()
        self.clock.pass_(seconds)

    @move(1)
    def crash_before_the_commit(self) -> None:
        """The keeper dies with a group that nobody was told about; the hosts live on."""
        self.group = []
        self.model = pickle.loads(self.durable)
        self.bench.restart()

    @move(1)
    def acknowledgement_lost(self) -> None:
        """The group is durable and nobody hears it: every member asks again, and nothing is done twice."""
        self.commit(acknowledged=False)
        for operation in self.committed[-4:]:
            self.repeat(operation)

    @move(2, which=st.integers(0, 99))
    def late_repeat(self, which: int) -> None:
        """A message that was on its way for long comes again."""
        self.commit()
        self.repeat(self.committed[which % len(self.committed)])

    def repeat(self, operation: Operation) -> None:
        before = self.bench.dump()
        self.model.now = self.clock.now
        expected = self.model.apply(operation)
        (answer,) = self.bench.ledger.apply([operation])
        assert said(answer) == expected
        assert self.bench.dump() == before
        self.durable = pickle.dumps(self.model)
        self.hear(operation, expected)

    @move(1)
    def hosts_crash(self) -> None:
        """Every host forgets what it had in hand."""
        self.sendable = {}

    @move(2, crash=st.booleans(), limit=st.integers(1, 3))
    def publish(self, crash: bool, limit: int) -> None:
        """The lake takes what is newer than its own version, then the outbox forgets it, unless the writer dies."""
        self.commit()
        waiting = self.bench.ledger.read_outbox(limit)
        fresh = [(seq, row_name(table, text)) for seq, table, text in waiting if seq > self.lake_version]
        self.published += fresh
        if waiting:
            self.lake_version = max(self.lake_version, waiting[-1][0])
            if crash:
                self.bench.restart()
            else:
                self.bench.ledger.delete_outbox(waiting[-1][0])


@pytest.mark.timeout(900)
def test_the_invariants_hold_in_thousands_of_histories() -> None:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="bsm-ledger-", dir=memory if memory.is_dir() else None))
    try:
        try_histories(f"sqlite:///{folder / 'ledger.db'}", HISTORIES)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(900)
def test_the_invariants_hold_on_postgresql(postgresql: Postgresql) -> None:
    """Fewer, because each statement crosses a socket."""
    try_histories(postgresql.new_url(), HISTORIES // 20)


def try_histories(url: str, count: int) -> None:
    Histories.bench, Histories.ran = Bench(url), 0
    with contextlib.closing(Histories.bench):
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=count,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert Histories.ran >= count
