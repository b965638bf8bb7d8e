"""Reading what a group of operations needs: a few queries for the whole group, rows locked in one fixed order.

Queues are locked first, then runs, and scopes last, each in sorted order, so that two keepers on one database cannot
block each other; what lies between belongs to what is locked. SQLite has no row locks and needs none: its transaction
has begun as the only writer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Select, Table, bindparam, func, select, tuple_

from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._driver import rows_of, text_of
from bessemer.cluster.ledger._journal import record_key
from bessemer.cluster.ledger._queue import task_id
from bessemer.cluster.ledger._rows import (
    AttemptRec,
    CallRec,
    Charged,
    ObservationRec,
    QueueRec,
    RunRec,
    ScopeRec,
    StepRec,
    TaskRec,
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
from bessemer.cluster.ledger.queue_operations import (
    Acknowledge,
    AddTasks,
    ClaimTasks,
    CloseQueue,
    LeaveTask,
    MarkTasks,
    OpenQueue,
    RenewQueue,
    StopQueue,
)

SIZES = (1, 4, 16, 64, 256, 1000)
"""Keys per query. Few sizes, so that each query's text is made once; what is left over is filled with the last key."""


@dataclass(slots=True)
class Wants:
    """The keys that a group names."""

    runs: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    """Runs of which every reserved or parked attempt is needed."""
    capped: set[str] = field(default_factory=set)
    """Runs of which every scope is needed."""
    charged: set[tuple[str, str]] = field(default_factory=set)
    """Steps (run, path) of which all that was bought below is needed."""
    calls: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=set)
    steps: set[tuple[str, str]] = field(default_factory=set)
    observations: set[tuple[str, str, str]] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    overdue: bool = False
    queues: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    claims: dict[str, int] = field(default_factory=dict)
    """How many tasks are claimed from a queue at most."""

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


def _read_spending(wants: Wants, op: ReadSpending) -> None:
    wants.charged.add((op.run, op.path))


def _read_left(wants: Wants, op: ReadLeft) -> None:
    wants.runs.add(op.run)
    wants.capped.add(op.run)


def _renew(wants: Wants, op: Renew) -> None:
    wants.runs.add(op.run)


def _set_cap(wants: Wants, op: SetCap) -> None:
    wants.scopes.add(op.scope)


def _record(wants: Wants, op: Record) -> None:
    wants.tokens.add(record_key(op.token))


def _sweep(wants: Wants, op: Sweep) -> None:
    wants.overdue = True


def _queue_alone(wants: Wants, op: OpenQueue | RenewQueue | CloseQueue | StopQueue | Acknowledge) -> None:
    wants.queues.add(op.queue)


def _add_tasks(wants: Wants, op: AddTasks) -> None:
    wants.queues.add(op.queue)
    wants.tasks.update(task_id(op.queue, task.key) for task in op.tasks)


def _claim(wants: Wants, op: ClaimTasks) -> None:
    wants.queues.add(op.queue)
    wants.claims[op.queue] = wants.claims.get(op.queue, 0) + op.limit


def _leave(wants: Wants, op: LeaveTask) -> None:
    wants.queues.add(op.queue)
    wants.tasks.add(op.task)


def _mark(wants: Wants, op: MarkTasks) -> None:
    wants.queues.add(op.queue)
    wants.tasks.update(op.tasks)


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
    ReadSpending: _read_spending,
    ReadLeft: _read_left,
    CloseRun: _close_run,
    SetCap: _set_cap,
    Record: _record,
    AddTasks: _add_tasks,
    OpenQueue: _queue_alone,
    RenewQueue: _queue_alone,
    CloseQueue: _queue_alone,
    StopQueue: _queue_alone,
    Acknowledge: _queue_alone,
    ClaimTasks: _claim,
    LeaveTask: _leave,
    MarkTasks: _mark,
}


def wanted(operations: Iterable[Operation]) -> Wants:
    wants = Wants()
    for operation in operations:
        _WANTED[type(operation)](wants, operation)
    return wants


class _Lookup:
    """Rows of one table by their keys: the text is made once per number of keys, and filled with plain values."""

    def __init__(self, table: Table, *key: Column[Any], order: Sequence[Column[Any]] = (), lock: bool = False) -> None:
        self._table, self._key, self._order, self._lock = table, key, order, lock
        self._texts: dict[tuple[str, int], str] = {}

    def rows(self, connection: Connection, keys: set[Any]) -> Iterator[Sequence[Any]]:
        """In the order of the keys, then of `order`; only a group of more than 1,000 keys comes in several parts."""
        ordered = sorted(keys)
        while ordered:
            part, ordered = ordered[: SIZES[-1]], ordered[SIZES[-1] :]
            size = next(size for size in SIZES if size >= len(part))
            part += [part[-1]] * (size - len(part))
            values = part if len(self._key) == 1 else list(itertools.chain.from_iterable(part))
            yield from rows_of(connection, self._text(connection.dialect, size), values)

    def _text(self, dialect: Dialect, size: int) -> str:
        found = self._texts.get((dialect.name, size))
        if found is None:
            (key,) = self._key if len(self._key) == 1 else (tuple_(*self._key),)
            # Any values: only their number is in the text.
            keys = [""] * size if len(self._key) == 1 else [("",) * len(self._key)] * size
            query = select(self._table).where(key.in_(keys)).order_by(*self._key, *self._order)
            query = query.with_for_update() if self._lock else query
            found, _ = text_of(query, dialect)
            self._texts[dialect.name, size] = found
        return found


class _Statement:
    """Rows of a statement whose values alone change: its text is made once."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._texts: dict[str, str] = {}

    def rows(self, connection: Connection, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        """`values` in the order in which the statement names them."""
        name = connection.dialect.name
        if name not in self._texts:
            self._texts[name], _ = text_of(self._statement, connection.dialect)
        return rows_of(connection, self._texts[name], values)


_RUNS = _Lookup(t.run, t.run.c.id, lock=True)
_SCOPES = _Lookup(t.scope, t.scope.c.name, lock=True)
_ATTEMPTS = _Lookup(t.attempt, t.attempt.c.call, order=[t.attempt.c.n])
_CALLS = _Lookup(t.call, t.call.c.id)
_TOKENS = _Lookup(t.token, t.token.c.id)
_QUEUES = _Lookup(t.queue, t.queue.c.name, lock=True)
_TASKS = _Lookup(t.queue_task, t.queue_task.c.id)
_STEPS = _Lookup(t.step, t.step.c.run, t.step.c.path)
_OBSERVATIONS = _Lookup(t.observation, t.observation.c.run, t.observation.c.path, t.observation.c.name)
_mine = t.queue_task.c.queue == bindparam("queue")
_RUNNING = select(t.queue_task).where(_mine, t.queue_task.c.state == "running")
_NEXT = (
    select(t.queue_task)
    .where(_mine, t.queue_task.c.state == "queued", t.queue_task.c.not_before <= bindparam("now"))
    .order_by(t.queue_task.c.priority.desc(), t.queue_task.c.place)
    .limit(bindparam("most"))
)
_HOW_MANY = select(func.count()).where(_mine, t.queue_task.c.state == "queued")
_OVERDUE = select(t.attempt.c.call, t.attempt.c.run).where(
    t.attempt.c.state == "reserved", t.attempt.c.deadline < bindparam("now")
)
_CHARGED = _Statement(
    select(t.attempt.c.call, t.attempt.c.n, t.attempt.c.charge, t.attempt.c.state, t.attempt.c.usage).where(
        t.attempt.c.call >= bindparam("first"), t.attempt.c.call < bindparam("behind")
    )
)
_UNENDED = select(t.attempt.c.call).where(
    t.attempt.c.call >= bindparam("low"),
    t.attempt.c.call < bindparam("high"),
    t.attempt.c.state.in_(["reserved", "parked"]),
)


def load(connection: Connection, wants: Wants, work: Work) -> None:
    """Fill `work` with every row that the group needs."""
    if wants.queues:
        _load_queues(connection, wants, work)
    if wants.overdue:
        for call, run in connection.execute(_OVERDUE, {"now": work.now}):
            wants.calls.add(call)
            wants.runs.add(run)
    for row in _RUNS.rows(connection, wants.runs):
        work.runs.known[row[0]] = RunRec(*row)
    for run_id in sorted(wants.whole & work.runs.known.keys()):
        low, high = t.range_of(run_id)
        wants.calls.update(connection.execute(_UNENDED, {"low": low, "high": high}).scalars())
    for run_id in wants.capped & work.runs.known.keys():
        wants.scopes.update(scopes_in(work.runs.known[run_id].scopes))
    _load_attempts(connection, wants, work)
    for run_id, path in wants.charged:
        work.charged[run_id, path] = [
            Charged(*row) for keys in t.ranges_below(run_id, path) for row in _CHARGED.rows(connection, keys)
        ]
    for row in _TOKENS.rows(connection, wants.tokens):
        work.tokens.known[row[0]] = TokenRec(*row)
    for row in _STEPS.rows(connection, wants.steps):
        work.steps.known[row[0], row[1]] = StepRec(*row)
    for row in _OBSERVATIONS.rows(connection, wants.observations):
        work.observations.known[row[0], row[1], row[2]] = ObservationRec(*row)
    for row in _SCOPES.rows(connection, wants.scopes):
        work.scopes.known[row[0]] = ScopeRec(*row)


def _load_queues(connection: Connection, wants: Wants, work: Work) -> None:
    for row in _QUEUES.rows(connection, wants.queues):
        work.queues.known[row[0]] = QueueRec(*row)
    found = list(_TASKS.rows(connection, wants.tasks))
    for queue, most in wants.claims.items():
        found += connection.execute(_RUNNING, {"queue": queue})
        found += connection.execute(_NEXT, {"queue": queue, "now": work.now, "most": most})
        work.waiting[queue] = int(connection.execute(_HOW_MANY, {"queue": queue}).scalar_one())
    for row in found:
        work.tasks.known[row[0]] = TaskRec(*row)


def _load_attempts(connection: Connection, wants: Wants, work: Work) -> None:
    for row in _ATTEMPTS.rows(connection, wants.calls):
        attempt = AttemptRec(*row)
        work.attempts.known[attempt.call, attempt.n] = attempt
        work.attempts_of.setdefault(attempt.call, []).append(attempt)
        wants.scopes.update(scopes_in(attempt.scopes))
    for row in _CALLS.rows(connection, wants.calls):
        work.calls.known[row[0]] = CallRec(*row)
