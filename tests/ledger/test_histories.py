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
import json
import pickle
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bessemer.cluster.ledger import (
    BeginStep,
    CloseRun,
    Doubt,
    FinishStep,
    GiveUp,
    LakeRecord,
    Observe,
    OpenRun,
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
    CAP,
    DRAWS,
    MOVES,
    RUNS,
    SHARED,
    SHARED_CAP,
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
from tests.ledger._model import OPEN, Attempt, Model, Said, said

HISTORIES = 2000
STEPS = 20
histories = Counter[str]()
bench: Bench


class Histories(RuleBasedStateMachine):
    """`self.model` holds what the group so far would make of the ledger, `self.durable` the model as committed."""

    @initialize()
    def start(self) -> None:
        bench.empty()
        self.clock = bench.clock
        self.model = Model(self.clock.now)
        self.durable = pickle.dumps(self.model)
        self.group: list[tuple[Operation, Said]] = []
        self.committed: list[Operation] = []
        self.serial = 0
        self.sendable: dict[str, float] = {}
        """Attempts acknowledged to a host that still lives, and until when it may send them."""
        self.billed: dict[str, int] = {}
        """What vendors truly bill."""
        self.honest = True
        self.published: list[tuple[int, Any]] = []
        self.lake_version = 0
        for run in RUNS:
            self.ask(self.opening(run, "a"))
        self.commit()

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(MOVES))
        getattr(self, name)(**{key: data.draw(strategy, label=key) for key, strategy in DRAWS[name].items()})

    def opening(self, run: str, owner: str, *, take_over: bool = False) -> OpenRun:
        caps = {f"run:{run}": CAP, SHARED: SHARED_CAP}
        token = self.next("open")
        return OpenRun(
            run=run, pipeline="p", pins={"of": run}, owner=owner, token=token, caps=caps, take_over=take_over
        )

    def next(self, kind: str) -> str:
        self.serial += 1
        return f"{kind}{self.serial}"

    def row(self) -> tuple[LakeRecord, ...]:
        return (LakeRecord(table="calls", row={"name": self.next("row")}),)

    def epoch(self, run: str, age: int) -> int:
        return self.model.runs[run].epoch - age

    def ask(self, operation: Operation) -> None:
        """Put an operation into the group; the model says what its answer will be."""
        self.model.now = self.clock.now
        self.group.append((operation, self.model.apply(operation)))
        if len(self.group) >= 4:
            self.commit()

    def commit(self, *, acknowledged: bool = True) -> None:
        """Commit the group. Whoever is not told that it was done will ask again, with the same tokens."""
        if not self.group:
            return
        operations = [operation for operation, _ in self.group]
        answers = [said(answer) for answer in bench.ledger.apply(operations)]
        assert answers == [expected for _, expected in self.group]
        self.durable = pickle.dumps(self.model)
        for operation, answer in zip(operations, answers, strict=True):
            if answer[0] != "refused" and not isinstance(operation, Sweep | Renew | Recall | BeginStep):
                self.committed.append(operation)
            if acknowledged:
                self.hear(operation, answer)
        self.group = []

    def hear(self, operation: Operation, answer: Said) -> None:
        """What a host does on an acknowledgement: remember what it may send, or call the batch provider."""
        if isinstance(operation, Reserve) and answer[0] == "reserved" and answer[2] == "reserved":
            self.sendable[answer[1]] = self.model.find(answer[1]).send_by  # type: ignore[union-attr]
        if isinstance(operation, Submit):
            for attempt in answer[1]:
                self.bill(attempt, operation.batch)

    def bill(self, attempt: str, draw: str) -> None:
        one = self.model.find(attempt)
        assert one is not None
        self.billed.setdefault(attempt, sum(map(ord, attempt + draw)) % (one.worst + 1))

    def pick(self, states: tuple[str, ...], which: int) -> Attempt | None:
        found = [one for one in self.model.attempts if one.state in states]
        return found[which % len(found)] if found else None

    # --- what hosts ask for ---

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
        bench.restart()

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
        before = bench.dump()
        self.model.now = self.clock.now
        expected = self.model.apply(operation)
        (answer,) = bench.ledger.apply([operation])
        assert said(answer) == expected
        assert bench.dump() == before
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
        waiting = bench.ledger.read_outbox(limit)
        fresh = [(seq, _name(table, text)) for seq, table, text in waiting if seq > self.lake_version]
        self.published += fresh
        if waiting:
            self.lake_version = max(self.lake_version, waiting[-1][0])
            if crash:
                bench.restart()
            else:
                bench.ledger.delete_outbox(waiting[-1][0])

    # --- the invariants, on what is durable ---

    @invariant()
    def invariants_hold(self) -> None:
        if not hasattr(self, "durable") or self.group:
            return
        stored = bench.sql.execute("SELECT call || '|' || n, state, charge, scopes, call FROM attempt").fetchall()
        self.check_money(stored)
        self.check_calls(stored)
        assert bench.sql.execute("SELECT id, epoch, status FROM run ORDER BY id").fetchall() == [
            (name, run.epoch, run.status) for name, run in sorted(self.model.runs.items())
        ]

    def check_money(self, stored: list[tuple[str, str, int, str, str]]) -> None:
        """1 used = sum of charges, in totals, in raw SQL and in the model; 7 never less than was billed."""
        mine = {one.id: (one.state, one.charge) for one in self.model.attempts}
        assert mine == {name: (state, charge) for name, state, charge, _, _ in stored}
        for name, cap, used, in_doubt in bench.sql.execute("SELECT name, cap, used, in_doubt FROM scope"):
            counted = [row for row in stored if name in json.loads(row[3])]
            assert used == sum(row[2] for row in counted) == self.model.used(name)
            assert in_doubt == sum(row[2] for row in counted if row[1] == "in_doubt")
            assert name in self.model.over or cap is None or used <= cap
            if self.honest:
                assert sum(self.billed.get(row[0], 0) for row in counted) <= used

    def check_calls(self, stored: list[tuple[str, str, int, str, str]]) -> None:
        """2 one outcome that never changes; 3 one attempt in flight at most, and none once there is an outcome."""
        outcomes = {
            name: (kind, json.loads(value))
            for name, kind, value in bench.sql.execute("SELECT id, kind, value FROM call")
        }
        expected = {f"{run}|{path}|{index}": kept[:2] for (run, path, index), kept in self.model.outcomes.items()}
        assert outcomes == expected
        in_flight = Counter(row[4] for row in stored if row[1] in OPEN)
        assert all(count == 1 for count in in_flight.values())

    def teardown(self) -> None:
        """5 every row is in the lake exactly once; 8 once all is known, what fits every cap is let through."""
        histories["run"] += 1
        if not hasattr(self, "durable"):
            return
        self.commit()
        while waiting := bench.ledger.read_outbox(100):
            self.published += [(seq, _name(table, text)) for seq, table, text in waiting if seq > self.lake_version]
            self.lake_version = waiting[-1][0]
            bench.ledger.delete_outbox(self.lake_version)
        numbers = [seq for seq, _ in self.published]
        assert numbers == sorted(set(numbers))
        assert [name for _, name in self.published] == self.model.rows
        self.check_progress()
        self.invariants_hold()

    def check_progress(self) -> None:
        self.clock.pass_(200_000)
        self.ask(Sweep())
        self.commit()
        for one in [one for one in self.model.attempts if one.state == "in_doubt"]:
            self.ask(Resolve(attempt=one.id, cost=self.billed.get(one.id, 0), evidence="invoice", by="ann"))
        self.commit()
        for run in RUNS:
            scope = f"run:{run}"
            self.ask(SetCap(scope=scope, cap=self.model.used(scope) + 3, version=self.model.caps[scope][1] + 1))
            self.ask(self.opening(run, "c", take_over=True))
            self.commit()
            if self.model.runs[run].status == "open":
                epoch, token = self.model.runs[run].epoch, self.next("k")
                last = Reserve(
                    run=run,
                    path="last",
                    index=0,
                    request_hash="h",
                    worst=3,
                    scopes=(scope,),
                    epoch=epoch,
                    token=token,
                    send_within=5,
                )
                self.ask(last)
                assert self.group[-1][1] == ("reserved", f"{run}|last|0|1", "reserved", True)
                self.commit()


def _name(table: str, text: str) -> Any:
    row = json.loads(text)
    return ("settled_late", row["text"].split()[1]) if table == "events" else row["name"]


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
    global bench
    bench = Bench(url)
    histories.clear()
    with contextlib.closing(bench):
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
    assert histories["run"] >= count
