"""Writing a unit of work: one bulk statement per table for what is new, one for what changed.

The statements are made by SQLAlchemy Core, compiled once per dialect, and handed to the driver as positional text with
plain tuples. Core's own bulk path builds and checks a dict per row, which costs about as much as deciding the
operation; at thousands of rows a second that is the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Table, bindparam, insert, select, update
from sqlalchemy.sql.expression import Executable

from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._driver import rows_of, text_of, write_rows
from bessemer.cluster.ledger._rows import Rows, Work

_OLD = "key_"


class _Bulk(NamedTuple):
    """A statement and how a row object gives its parameters, in order."""

    sql: str
    values: Callable[[Any], Any]

    def run(self, connection: Connection, rows: Iterable[Any]) -> None:
        write_rows(connection, self.sql, list(map(self.values, rows)))


def _bulk(statement: Executable, dialect: Dialect) -> _Bulk:
    text, names = text_of(statement, dialect)
    return _Bulk(text, attrgetter(*(name.removeprefix(_OLD) for name in names)))


def _insert(table: Table, dialect: Dialect, skip: tuple[str, ...] = ()) -> _Bulk:
    names: dict[str, Any] = {column.name: bindparam(column.name) for column in table.columns if column.name not in skip}
    return _bulk(insert(table).values(names), dialect)


def _update(table: Table, dialect: Dialect) -> _Bulk:
    keys = {column.name for column in table.primary_key}
    found = [column == bindparam(_OLD + column.name) for column in table.primary_key]
    fixed = keys | _NEVER_CHANGED.get(table.name, set())
    values: dict[str, Any] = {
        column.name: bindparam(_OLD + column.name) for column in table.columns if column.name not in fixed
    }
    return _bulk(update(table).where(*found).values(values), dialect)


_NEVER_CHANGED: dict[str, set[str]] = {
    "attempt": {
        "run",
        "token",
        "request_hash",
        "scopes",
        "worst",
        "epoch",
        "reserved_at",
        "send_by",
        "deadline",
        "detail",
    },
    "run": {"pipeline", "pins_hash", "opened_at"},
    "queue_task": {"queue", "key", "digest", "title", "priority", "place", "spec", "run", "added_at"},
}

_COUNTER = select(t.meta.c.value).where(t.meta.c.name == bindparam("name")).with_for_update()


class _Statements:
    """The bulk statements of one database's dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.inserts = {
            table.name: _insert(table, dialect)
            for table in (t.scope, t.run, t.token, t.step, t.call, t.attempt, t.observation, t.queue, t.queue_task)
        }
        changing = (t.scope, t.run, t.step, t.attempt, t.queue, t.queue_task)
        self.updates = {table.name: _update(table, dialect) for table in changing}
        self.counter, _ = text_of(_COUNTER, dialect)
        self.first_count, self.count = _insert(t.meta, dialect), _update(t.meta, dialect)
        self.audit = _insert(t.audit, dialect, skip=("id",))
        self.outbox = _insert(t.outbox, dialect)


_COMPILED: dict[tuple[str, str], _Statements] = {}


def _statements(dialect: Dialect) -> _Statements:
    """Compiled once per process: compiling them takes longer than opening the ledger does otherwise."""
    key = (dialect.name, dialect.paramstyle)
    if key not in _COMPILED:
        _COMPILED[key] = _Statements(dialect)
    return _COMPILED[key]


class _OutboxRow(NamedTuple):
    keeper: str
    seq: int
    table: str
    row: str


class _Count(NamedTuple):
    name: str
    value: str


class Writer:
    """Writes units of work for one keeper."""

    def __init__(self, dialect: Dialect, keeper: str) -> None:
        self._keeper = keeper
        self._sql = _statements(dialect)

    def flush(self, connection: Connection, work: Work) -> None:
        """Write everything that `work` made or changed."""
        self._table(connection, "queue", work.queues)
        self._table(connection, "queue_task", work.tasks)
        self._table(connection, "run", work.runs)
        self._table(connection, "scope", work.scopes)
        self._table(connection, "token", work.tokens)
        self._table(connection, "step", work.steps)
        self._table(connection, "attempt", work.attempts)
        self._table(connection, "call", work.calls)
        self._table(connection, "observation", work.observations)
        if work.audit:
            self._sql.audit.run(connection, work.audit)
        if work.outbox:
            self._publish(connection, work.outbox)

    def _table(self, connection: Connection, name: str, rows: Rows[Any, Any]) -> None:
        if rows.fresh:
            self._sql.inserts[name].run(connection, rows.fresh.values())
        if rows.changed:
            self._sql.updates[name].run(connection, rows.changed.values())

    def _publish(self, connection: Connection, rows: list[tuple[str, str]]) -> None:
        """Number the rows by the keeper's durable counter, which outlives an empty outbox and a restart."""
        name = t.counter_key(self._keeper)
        stored = next(iter(rows_of(connection, self._sql.counter, (name,))), None)
        first = 1 if stored is None else int(stored[0]) + 1
        numbered = (_OutboxRow(self._keeper, first + place, *row) for place, row in enumerate(rows))
        self._sql.outbox.run(connection, numbered)
        count = self._sql.first_count if stored is None else self._sql.count
        count.run(connection, [_Count(name, str(first + len(rows) - 1))])
