"""The ledger's tables, for SQLite and PostgreSQL alike.

| object | role | lifetime |
|---|---|---|
| `meta` | schema version, the ledger's own id, each keeper's sequence counter | the ledger |
| `scope` | a cap, and the running total of what counts against it | the ledger |
| `run`, `token` | who holds a run, under which pins and epoch; openings already done | the ledger; pins until erased |
| `step`, `call`, `observation` | results, outcomes, and what a run read from outside | until the run is erased |
| `attempt` | one purchase: what was reserved, what it cost | the ledger, never erased |
| `queue`, `queue_task` | who runs a queue; its tasks, their order and how each ended | the ledger |
| `outbox` | rows on their way to the lake | until published |
| `audit` | what people did to the account, and alarms | the ledger |
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    literal_column,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

SCHEMA_VERSION = 3
"""Raised together with a new file in `migrations/versions`."""
VERSION_KEY = "schema_version"
UUID_KEY = "ledger_uuid"
MOVED_KEY = "moved_to"
"""Where a ledger was moved; there is one only in a ledger that nobody may use any more."""
REVISION_TABLE = "ledger_revision"
"""Alembic's own note of the version; there once a ledger was migrated."""

metadata = MetaData()

# Keys are compared by code point on both databases, because a run's calls are found as a range of keys.
_Key = Text().with_variant(Text(collation="C"), "postgresql")

meta = Table("meta", metadata, Column("name", _Key, primary_key=True), Column("value", Text, nullable=False))

scope = Table(
    "scope",
    metadata,
    Column("name", _Key, primary_key=True),
    Column("cap", BigInteger),
    Column("version", Integer, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("in_doubt", BigInteger, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("pins", Text),
    Column("pins_hash", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("erased_at", Double),
)

_open = run.c.status == "open"
Index("run_open", run.c.id, sqlite_where=_open, postgresql_where=_open)

token = Table(
    "token",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("status", Text, nullable=False),
)

step = Table(
    "step",
    metadata,
    Column("run", _Key, primary_key=True),
    Column("path", _Key, primary_key=True),
    Column("state", Text, nullable=False),
    Column("result", Text),
)

# A row is a call's outcome; a call without one is known by its attempts alone, so that buying costs one row less.
call = Table(
    "call",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("value", Text),
    Column("request_hash", Text),
    Column("cost", BigInteger, nullable=False),
    Column("usage", Text, nullable=False),
    Column("at", Double, nullable=False),
)

# Empty texts and zero times stand for "not yet": Python's driver takes ten times as long to hand over a NULL. What an
# attempt cost is its charge once it has ended. In files made from now on rows lie in the order they were made, not in
# that of their keys, so that those of one group share pages when they are settled.
attempt = Table(
    "attempt",
    metadata,
    Column("call", _Key, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("run", _Key, nullable=False),
    Column("token", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("worst", BigInteger, nullable=False),
    Column("charge", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("reserved_at", Double, nullable=False),
    Column("send_by", Double, nullable=False),
    Column("deadline", Double, nullable=False),
    Column("batch", Text, nullable=False),
    Column("submitted_at", Double, nullable=False),
    Column("doubted_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),
    Column("usage", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

_reserved = attempt.c.state == "reserved"
_in_doubt = attempt.c.state == "in_doubt"
Index("attempt_reserved", attempt.c.deadline, sqlite_where=_reserved, postgresql_where=_reserved)
Index("attempt_in_doubt", attempt.c.call, sqlite_where=_in_doubt, postgresql_where=_in_doubt)

observation = Table(
    "observation",
    metadata,
    Column("run", _Key, primary_key=True),
    Column("path", _Key, primary_key=True),
    Column("name", _Key, primary_key=True),
    Column("value", Text, nullable=False),
)

queue = Table(
    "queue",
    metadata,
    Column("name", _Key, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("stopped", Integer, nullable=False),
    Column("last_place", BigInteger, nullable=False),
    Column("acknowledged_at", Double, nullable=False),
)

queue_task = Table(
    "queue_task",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("queue", _Key, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("priority", Double, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("spec", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("added_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("degraded", Text, nullable=False),
    Column("degraded_at", Double, nullable=False),
)

_queued = queue_task.c.state == "queued"
_running = queue_task.c.state == "running"
Index(
    "queue_task_queued",
    queue_task.c.queue,
    queue_task.c.priority.desc(),
    queue_task.c.place,
    sqlite_where=_queued,
    postgresql_where=_queued,
)
Index("queue_task_running", queue_task.c.queue, sqlite_where=_running, postgresql_where=_running)

outbox = Table(
    "outbox",
    metadata,
    Column("keeper", _Key, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("table", Text, nullable=False),
    Column("row", Text, nullable=False),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("detail", Text, nullable=False),
)


def clock_text(dialect: Dialect) -> str:
    """The query for the database's clock, in seconds since the epoch."""
    clock: ColumnElement[Any] = literal_column("(julianday('now') - 2440587.5) * 86400.0", Double)
    if dialect.name == "postgresql":
        clock = literal_column("extract(epoch from clock_timestamp())", Double)
    return str(select(clock).compile(dialect=dialect))


def counter_key(keeper: str) -> str:
    """Name in `meta` of the last sequence number that `keeper` gave to an outbox row."""
    return f"outbox_seq:{keeper}"


def range_of(run_id: str) -> tuple[str, str]:
    """Bounds (from, before) of the keys of a run's calls: `|` ends the id, and `}` is the next code point."""
    return f"{run_id}|", f"{run_id}}}"


def ranges_below(run_id: str, path: str) -> tuple[tuple[str, str], ...]:
    """Bounds (from, before) of the keys of a step's own calls, and of those of the steps below it; of all, without one.

    `0` follows `/`.
    """
    if not path.rstrip("/"):
        return (range_of(run_id),)
    step = f"{run_id}|{path.rstrip('/')}"
    return (f"{step}|", f"{step}}}"), (f"{step}/", f"{step}0")
