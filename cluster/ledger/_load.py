"""Reading what a group of operations needs: a few queries for the whole group, rows locked in one fixed order.

Runs are locked first and scopes last, each in sorted order, so that two keepers on one database cannot block each
other; what lies between belongs to the locked runs. SQLite has no row locks and needs none: its transaction has begun
as the only writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, tuple_

from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._journal import record_key
from bessemer.cluster.ledger._rows import (
    AttemptRec,
    CallRec,
    ObservationRec,
    RunRec,
    ScopeRec,
    StepRec,
    TokenRec,
    Work,
)
from bessemer.cluster.ledger._runs import opening_key
from bessemer.cluster.ledger._values import scopes_in
from bessemer.cluster.ledger.operations import (
    BeginStep,
    CloseRun,
    Doubt,
    FinishStep,
    GiveUp,
    Observe,
    OpenRun,
    Operation,
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

CHUNK = 2000
"""Keys per query; every database takes more parameters than that."""


@dataclass(slots=True)
class Wants:
    """The keys that a group names."""

    runs: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    """Runs of which every reserved or parked attempt is needed."""
    calls: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=set)
    steps: set[tuple[str, str]] = field(default_factory=set)
    observations: set[tuple[str, str, str]] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    overdue: bool = False

    def attempt(self, attempt: str) -> None:
        call, bar, _ = attempt.rpartition("|")
        if bar:
            self.calls.add(call)
            self.runs.add(call.partition("|")[0])


def _open_run(wants: Wants, op: OpenRun) -> None:
    wants.runs.add(op.run)
    wants.whole.add(op.run)
    wants.scopes.update(op.caps)
    wants.tokens.add(opening_key(op.run, op.token))


def _close_run(wants: Wants, op: CloseRun) -> None:
    wants.runs.add(op.run)
    wants.whole.add(op.run)


def _reserve(wants: Wants, op: Reserve) -> None:
    wants.runs.add(op.run)
    wants.calls.add(f"{op.run}|{op.path}|{op.index}")
    wants.scopes.update(op.scopes)


def _give_up(wants: Wants, op: GiveUp) -> None:
    wants.runs.add(op.run)
    wants.calls.add(f"{op.run}|{op.path}|{op.index}")


def _submit(wants: Wants, op: Submit) -> None:
    for attempt in op.attempts:
        wants.attempt(attempt)


def _of_attempt(wants: Wants, op: Settle | Release | Doubt | Resolve) -> None:
    wants.attempt(op.attempt)


def _step(wants: Wants, op: BeginStep | FinishStep) -> None:
    wants.runs.add(op.run)
    wants.steps.add((op.run, op.path))


def _observation(wants: Wants, op: Observe | Recall) -> None:
    wants.runs.add(op.run)
    wants.observations.add((op.run, op.path, op.name))


def _renew(wants: Wants, op: Renew) -> None:
    wants.runs.add(op.run)


def _set_cap(wants: Wants, op: SetCap) -> None:
    wants.scopes.add(op.scope)


def _record(wants: Wants, op: Record) -> None:
    wants.tokens.add(record_key(op.token))


def _sweep(wants: Wants, op: Sweep) -> None:
    wants.overdue = True


_WANTED: dict[type, Callable[[Wants, Any], None]] = {
    OpenRun: _open_run,
    Renew: _renew,
    BeginStep: _step,
    Reserve: _reserve,
    Submit: _submit,
    Settle: _of_attempt,
    Release: _of_attempt,
    Doubt: _of_attempt,
    Sweep: _sweep,
    Resolve: _of_attempt,
    GiveUp: _give_up,
    FinishStep: _step,
    Observe: _observation,
    Recall: _observation,
    CloseRun: _close_run,
    SetCap: _set_cap,
    Record: _record,
}


def wanted(operations: Iterable[Operation]) -> Wants:
    wants = Wants()
    for operation in operations:
        _WANTED[type(operation)](wants, operation)
    return wants


def _keys(name: str = "keys") -> Any:
    return bindparam(name, expanding=True)


_OVERDUE = select(t.attempt.c.call, t.attempt.c.run).where(
    t.attempt.c.state == "reserved", t.attempt.c.deadline < bindparam("now")
)
_UNENDED = select(t.attempt.c.call).where(
    t.attempt.c.call >= bindparam("low"),
    t.attempt.c.call < bindparam("high"),
    t.attempt.c.state.in_(["reserved", "parked"]),
)
_RUNS = select(t.run).where(t.run.c.id.in_(_keys())).order_by(t.run.c.id).with_for_update()
_SCOPES = select(t.scope).where(t.scope.c.name.in_(_keys())).order_by(t.scope.c.name).with_for_update()
_ATTEMPTS = select(t.attempt).where(t.attempt.c.call.in_(_keys())).order_by(t.attempt.c.call, t.attempt.c.n)
_CALLS = select(t.call).where(t.call.c.id.in_(_keys()))
_TOKENS = select(t.token).where(t.token.c.id.in_(_keys()))
_STEPS = select(t.step).where(tuple_(t.step.c.run, t.step.c.path).in_(_keys()))
_OBSERVATIONS = select(t.observation).where(
    tuple_(t.observation.c.run, t.observation.c.path, t.observation.c.name).in_(_keys())
)


def load(connection: Connection, wants: Wants, work: Work) -> None:
    """Fill `work` with every row that the group needs."""
    if wants.overdue:
        for call, run in connection.execute(_OVERDUE, {"now": work.now}):
            wants.calls.add(call)
            wants.runs.add(run)
    for row in _fetch(connection, _RUNS, wants.runs):
        work.runs.known[row[0]] = RunRec(*row)
    for run_id in sorted(wants.whole & work.runs.known.keys()):
        low, high = t.range_of(run_id)
        wants.calls.update(connection.execute(_UNENDED, {"low": low, "high": high}).scalars())
    _load_attempts(connection, wants, work)
    for row in _fetch(connection, _TOKENS, wants.tokens):
        work.tokens.known[row[0]] = TokenRec(*row)
    for row in _fetch(connection, _STEPS, wants.steps):
        work.steps.known[row[0], row[1]] = StepRec(*row)
    for row in _fetch(connection, _OBSERVATIONS, wants.observations):
        work.observations.known[row[0], row[1], row[2]] = ObservationRec(*row)
    for row in _fetch(connection, _SCOPES, wants.scopes):
        work.scopes.known[row[0]] = ScopeRec(*row)


def _load_attempts(connection: Connection, wants: Wants, work: Work) -> None:
    for row in _fetch(connection, _ATTEMPTS, wants.calls):
        attempt = AttemptRec(*row)
        work.attempts.known[attempt.call, attempt.n] = attempt
        work.attempts_of.setdefault(attempt.call, []).append(attempt)
        wants.scopes.update(scopes_in(attempt.scopes))
    for row in _fetch(connection, _CALLS, wants.calls):
        work.calls.known[row[0]] = CallRec(*row)


def _fetch(connection: Connection, query: Select[Any], keys: set[Any]) -> Iterator[Sequence[Any]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), CHUNK):
        yield from connection.execute(query, {"keys": ordered[start : start + CHUNK]})
