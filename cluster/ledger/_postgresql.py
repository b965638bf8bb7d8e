"""What is PostgreSQL's own: how its sessions are set up, what its error codes mean, and the lock of the layout.

| code | meaning here |
|---|---|
| serialization failure, deadlock, a key that another keeper wrote first | the same group is decided again |
| connection lost, server starting, stopping or a standby | the ledger does not answer: callers wait and repeat |
| disk full, no right to write | people must act |
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from bessemer.cluster.errors import SettingsError

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
"""Longest one statement may take; a server that hangs is taken for one that is away."""
REPEATED = frozenset(("40001", "40P01", "23505", "55P03"))
UNWRITABLE = frozenset(("53100", "42501", "53400"))
CORRUPTED = frozenset(("XX001", "XX002"))
LAYOUT_LOCK = 0x6265_7373
"""Key of the advisory lock under which a layout is made or changed."""


def normalised(url: URL) -> URL:
    """`postgresql://` and `postgres://` mean the driver that the extra `postgres` installs."""
    return url.set(drivername="postgresql+psycopg")


def make_engine(url: URL, *, durable: bool) -> Engine:
    """An engine whose sessions end by themselves when either side is lost. Raises SettingsError without the driver."""
    options = {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
        "synchronous_commit": "on" if durable else "off",
    }
    connect: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "bessemer",
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        # After a failover the old server may still answer, as a standby: only one that takes writes will do.
        "target_session_attrs": "read-write",
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }
    given = {name: value for name, value in connect.items() if name not in url.query}
    try:
        # Positional parameters, because bulk writes hand over plain tuples.
        return create_engine(url, paramstyle="format", pool_pre_ping=True, pool_size=4, connect_args=given)
    except ModuleNotFoundError:
        raise SettingsError(
            "ledger.url names PostgreSQL and its driver is not installed; install bessemer[postgres]"
        ) from None


def code_of(error: DBAPIError) -> str:
    """The five characters with which the server names an error; empty where it did not get to say one."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def lock_layout(connection: Connection) -> None:
    """Wait until nobody else lays out or migrates this database; the lock ends with the transaction."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LAYOUT_LOCK,))


def other_sessions(connection: Connection) -> int:
    """How many other sessions of Bessemer this database has, as far as the role may see them."""
    found = connection.exec_driver_sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'bessemer' AND pid <> pg_backend_pid()"
    )
    return int(found.scalar_one())


def set_sequences(connection: Connection) -> None:
    """Numbers that the server gives out go on after those that were copied."""
    connection.exec_driver_sql(
        "SELECT setval(pg_get_serial_sequence('audit', 'id'), GREATEST((SELECT max(id) FROM audit), 1), "
        "EXISTS (SELECT 1 FROM audit))"
    )
