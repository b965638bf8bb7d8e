"""Moving a ledger to another database: every table, checked, in one transaction of each side.

The source is locked against writers while it is read. The target is committed first, then the source is marked as
moved, so that nobody goes on with it; a crash between the two is mended by moving again. The ledger keeps its id and
its outbox numbers, so that the lake sees one ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, insert, select

from bessemer.cluster.errors import LedgerCorrupted, LedgerUnavailable, RunIsOpen, UsageError
from bessemer.cluster.ledger import _postgresql
from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._engine import Store

BATCH = 1_000


class Moved(NamedTuple):
    """What a ledger holds, as counted on both sides."""

    rows: dict[str, int]
    charged: int
    """Sum of all charges, in micro-dollars."""
    used: int
    """Sum of what counts against the caps, in micro-dollars."""


def move_ledger(source: str, target: str, now: float | None = None) -> Moved:
    """Copy the ledger at `source` into an empty database and mark `source` as moved; returns what was moved.

    `now` (seconds since the epoch) replaces the source's clock. Raises RunIsOpen while a run's lease lives, UsageError
    where the target is not empty or the same, LedgerUnavailable while others use the source, LedgerCorrupted where the
    two sides differ after the copy; then the target is left as it was.
    """
    old = Store(source, create=False, durable=True)
    try:
        new = Store(target, create=True, durable=True)
        try:
            if old.name == new.name:
                raise UsageError(f"--to {new.name} is where the ledger is already; give another database")
            with old.writing() as reader:
                _lock(old, reader)
                _refuse_live(reader, _clock(old, reader) if now is None else now)
                with new.writing() as writer:
                    moved = _copy(old, new, reader, writer)
                reader.execute(insert(t.meta), {"name": t.MOVED_KEY, "value": new.name})
            return moved
        finally:
            new.close()
    finally:
        old.close()


def _clock(store: Store, connection: Connection) -> float:
    return float(connection.exec_driver_sql(t.clock_text(store.engine.dialect)).scalar_one())


def _lock(store: Store, connection: Connection) -> None:
    """Keep writers out; a file's transaction is the only writer already."""
    if store.path is not None:
        return
    names = ", ".join(f'"{table.name}"' for table in t.metadata.sorted_tables)
    connection.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
    others = _postgresql.other_sessions(connection)
    if others:
        raise LedgerUnavailable(
            f"the ledger {store.name} is in use by {others} other sessions of Bessemer; end those clusters first"
        )


def _refuse_live(connection: Connection, now: float) -> None:
    held = select(t.run.c.id, t.run.c.owner).where(t.run.c.status == "open", t.run.c.lease_until > now)
    first = connection.execute(held.order_by(t.run.c.id)).first()
    if first is not None:
        raise RunIsOpen(
            f"run {first.id} is held by {first.owner}; stop it with `bessemer run cancel {first.id}` first",
            {"run": first.id, "owner": first.owner},
        )


def _copy(old: Store, new: Store, reader: Connection, writer: Connection) -> Moved:
    if new.path is None:
        _postgresql.lock_layout(writer)
    before = _counted(reader)
    there = _counted(writer)
    if any(count for name, count in there.rows.items() if name != t.meta.name):
        if new.ledger_uuid == old.ledger_uuid and there == before:
            return there
        raise UsageError(f"the ledger {new.name} is not empty; give a new database")
    writer.execute(t.meta.delete())
    for table in t.metadata.sorted_tables:
        for rows in _batches(reader, table):
            writer.execute(insert(table), rows)
    if new.path is None:
        _postgresql.set_sequences(writer)
    after = _counted(writer)
    if after != before:
        raise LedgerCorrupted(
            f"the copy in {new.name} differs from {old.name}: {after} instead of {before}; nothing was moved"
        )
    return after


def _batches(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    query = select(table).order_by(*table.primary_key)
    found = connection.execute(query, execution_options={"yield_per": BATCH})
    for part in found.partitions():
        yield [dict(row._mapping) for row in part]


def _counted(connection: Connection) -> Moved:
    def total(column: Any) -> int:
        return int(connection.execute(select(func.coalesce(func.sum(column), 0))).scalar_one())

    rows = {
        table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for table in t.metadata.sorted_tables
    }
    return Moved(rows, total(t.attempt.c.charge), total(t.scope.c.used))
