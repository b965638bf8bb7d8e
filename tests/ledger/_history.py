"""One generated history of a ledger: how operations reach it, what is known of it, and what must hold of it.

The moves that a history is made of are in `test_histories.py`.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bessemer.cluster.ledger import (
    BeginStep,
    LakeRecord,
    OpenRun,
    Recall,
    Renew,
    Reserve,
    Resolve,
    SetCap,
    Submit,
    Sweep,
)
from bessemer.cluster.ledger.operations import Operation
from tests.ledger._bench import CAP, DRAWS, MOVES, RUNS, SHARED, SHARED_CAP, Bench
from tests.ledger._model import OPEN, Attempt, Model, Said, said


class History(RuleBasedStateMachine):
    """`self.model` holds what the group so far would make of the ledger, `self.durable` the model as committed."""

    bench: ClassVar[Bench]
    ran: ClassVar[int] = 0
    """Histories that came to their end."""

    @initialize()
    def start(self) -> None:
        self.bench.empty()
        self.clock = self.bench.clock
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
        answers = [said(answer) for answer in self.bench.ledger.apply(operations)]
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

    # --- the invariants, on what is durable ---

    @invariant()
    def invariants_hold(self) -> None:
        if not hasattr(self, "durable") or self.group:
            return
        stored = self.bench.sql.execute("SELECT call || '|' || n, state, charge, scopes, call FROM attempt").fetchall()
        self.check_money(stored)
        self.check_calls(stored)
        assert self.bench.sql.execute("SELECT id, epoch, status FROM run ORDER BY id").fetchall() == [
            (name, run.epoch, run.status) for name, run in sorted(self.model.runs.items())
        ]

    def check_money(self, stored: list[tuple[str, str, int, str, str]]) -> None:
        """1 used = sum of charges, in totals, in raw SQL and in the model; 7 never less than was billed."""
        mine = {one.id: (one.state, one.charge) for one in self.model.attempts}
        assert mine == {name: (state, charge) for name, state, charge, _, _ in stored}
        for name, cap, used, in_doubt in self.bench.sql.execute("SELECT name, cap, used, in_doubt FROM scope"):
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
            for name, kind, value in self.bench.sql.execute("SELECT id, kind, value FROM call")
        }
        expected = {f"{run}|{path}|{index}": kept[:2] for (run, path, index), kept in self.model.outcomes.items()}
        assert outcomes == expected
        in_flight = Counter(row[4] for row in stored if row[1] in OPEN)
        assert all(count == 1 for count in in_flight.values())

    def teardown(self) -> None:
        """5 every row is in the lake exactly once; 8 once all is known, what fits every cap is let through."""
        type(self).ran += 1
        if not hasattr(self, "durable"):
            return
        self.commit()
        while waiting := self.bench.ledger.read_outbox(100):
            self.published += [(seq, row_name(table, text)) for seq, table, text in waiting if seq > self.lake_version]
            self.lake_version = waiting[-1][0]
            self.bench.ledger.delete_outbox(self.lake_version)
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


def row_name(table: str, text: str) -> Any:
    row = json.loads(text)
    return ("settled_late", row["text"].split()[1]) if table == "events" else row["name"]
