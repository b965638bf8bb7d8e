"""Opening a ledger's database, and what its troubles mean for people."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from bessemer.cluster.durations import jittered
from bessemer.cluster.errors import (
    InfrastructureError,
    LedgerCorrupted,
    LedgerTooNew,
    LedgerUnavailable,
    SettingsError,
    StateUnwritable,
)
from bessemer.cluster.ledger import _postgresql
from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._driver import rows_of
from bessemer.cluster.ledger.migrations import upgrade

T = TypeVar("T")

BUSY_SECONDS = 10.0
"""How long a writer waits for another process's transaction."""
CHECKED_WHOLE = 16 * 2**20
"""Files up to this many bytes are checked page by page when they are opened; larger ones as they are read."""
DECIDED_AGAIN = 20
"""How often one group is decided again because another keeper of the same database was first."""
READ_ONLY = "bessemer_read_only"
"""Execution option of a connection whose transactions take no write lock."""


class _Known(NamedTuple):
    uuid: str
    version: int


class Store:
    """One ledger's database: its engine, its name in messages, and the file behind it if there is one."""

    def __init__(self, url: str, *, create: bool, durable: bool) -> None:
        self.url = _parse(url)
        self.path = _file_of(self.url)
        self._inode = 0
        self._kept: Connection | None = None
        self._writing = threading.Lock()
        self.name = str(self.path) if self.path else self.url.render_as_string(hide_password=True)
        with self.troubles():
            if self.path:
                _prepare_file(self.path, create=create)
            self.engine = _make_engine(self.url, durable=durable)
            try:
                self.ledger_uuid = self._check_or_create(create=create)
            except BaseException:
                self.close()
                raise
            if self.path:
                self._inode = self.path.stat().st_ino

    def _check_or_create(self, *, create: bool) -> str:
        # Looking needs no write lock, so opening an existing ledger never waits for its keeper.
        with self.reading() as connection:
            found = self._known_ledger(connection)
        if found or create:
            self._write_ahead()
        if (found is None and create) or (found and found.version < t.SCHEMA_VERSION):
            found = self.transact(self._bring_up_to_date)
        if found is None:
            raise LedgerUnavailable(f"there is no ledger in {self.name}; start a run there first")
        if self.path and self.path.stat().st_size <= CHECKED_WHOLE:
            with self.reading() as connection:
                problem = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
            if problem != "ok":
                raise LedgerCorrupted(_corrupted(self.name, " ".join(problem.split())))
        return found.uuid

    def _bring_up_to_date(self, connection: Connection) -> _Known:
        """Lay the ledger out if there is none, migrate one of an older version; several processes may try at once."""
        if self.path is None:
            _postgresql.lock_layout(connection)
        found = self._known_ledger(connection)
        if found is None:
            return _Known(_lay_out(connection), t.SCHEMA_VERSION)
        if found.version < t.SCHEMA_VERSION:
            upgrade(connection, found.version)
        return _Known(found.uuid, t.SCHEMA_VERSION)

    def _write_ahead(self) -> None:
        """Put the file into WAL mode, for good, once it is known to be a ledger's or nobody's.

        This does not wait for other processes by itself, so two first openings may collide.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while self.path is not None:
            with contextlib.closing(self.engine.raw_connection()) as pooled:
                try:
                    pooled.cursor().execute("PRAGMA journal_mode=WAL")
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise
                else:
                    return
            time.sleep(0.02)

    def _known_ledger(self, connection: Connection) -> _Known | None:
        """The ledger that is here, or None if the database is empty."""
        tables = inspect(connection).get_table_names()
        if not tables:
            return None
        if t.meta.name not in tables:
            raise LedgerCorrupted(_corrupted(self.name, "it holds other tables than a ledger's"))
        values = {str(name): str(value) for name, value in connection.execute(select(t.meta))}
        version, ledger = values.get(t.VERSION_KEY, ""), values.get(t.UUID_KEY, "")
        if not version.isdigit() or not ledger:
            raise LedgerCorrupted(_corrupted(self.name, "it does not say its version"))
        if int(version) > t.SCHEMA_VERSION:
            raise LedgerTooNew(
                f"the ledger {self.name} has schema version {version} and this Bessemer knows {t.SCHEMA_VERSION}; "
                "upgrade Bessemer to use it"
            )
        if moved := values.get(t.MOVED_KEY):
            raise SettingsError(f"the ledger {self.name} was moved to {moved}; set ledger.url to that")
        return _Known(ledger, int(version))

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is the only writer (SQLite) or locks the rows it reads (PostgreSQL)."""
        with self.troubles():
            self._same_file()
            if self.path is None:
                with self.engine.begin() as connection:
                    yield connection
            else:
                # Taking a connection out of the pool and putting it back costs as much as a small group's statements.
                with self._writing, self._connection() as connection, connection.begin():
                    yield connection

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        """The connection that is kept for writing, replaced after any trouble."""
        if self._kept is None:
            self._kept = self.engine.connect()
        try:
            yield self._kept
        except BaseException:
            self._forget_connection()
            raise

    def _forget_connection(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
                kept.close()

    def close(self) -> None:
        """Close the database."""
        with self._writing:
            self._forget_connection()
        self.engine.dispose()

    def transact(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, once its transaction is durable.

        It is done again from the start where another keeper's transaction was in the way, so it must keep no memory.
        """
        for left in reversed(range(DECIDED_AGAIN)):
            try:
                with self.writing() as connection:
                    return work(connection)
            except _WasInTheWay:
                if not left:
                    raise
            time.sleep(jittered(0.05, 0.0))
        raise AssertionError("the last turn returns or raises")

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment and blocks nobody."""
        with self.troubles(), self.engine.connect() as connection:
            if self.path is None:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection.execution_options(**{READ_ONLY: True})

    def forget_erased(self) -> None:
        """Take what was erased out of SQLite's write-ahead log too, as far as readers allow it."""
        if self.path is None:
            return
        with self.troubles(), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _same_file(self) -> None:
        """A file that was deleted or replaced still takes writes, and they would be lost: refuse them."""
        if self.path is None or not self._inode:
            return
        try:
            there = self.path.stat().st_ino
        except FileNotFoundError:
            there = 0
        if there != self._inode:
            raise LedgerUnavailable(
                f"the ledger {self.name} was removed or replaced while in use; put it back, or run `bessemer cluster "
                "down` and start anew"
            )

    @contextlib.contextmanager
    def troubles(self) -> Iterator[None]:
        """Turn what the database or the file system raises into an error of ours, in one line."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise _translated(self.name, error) from error
        except OSError as error:
            raise StateUnwritable(_unwritable(self.name, error.strerror or str(error))) from error
        except SQLAlchemyError as error:
            raise LedgerUnavailable(f"the ledger {self.name} cannot be used: {_line(error)}") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError:
        raise SettingsError(f"ledger.url {url!r} is no database URL; give sqlite:////absolute/path/ledger.db") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(f"ledger.url {url!r} is neither sqlite nor postgresql")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"ledger.url {url!r} names no file, and a ledger that forgets is none")
    return parsed if parsed.get_backend_name() == "sqlite" else _postgresql.normalised(parsed)


def _file_of(url: URL) -> Path | None:
    return Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else None


def _prepare_file(path: Path, *, create: bool) -> None:
    """See to it that the file exists and is the owner's alone; SQLite gives its companions the same mode."""
    if not path.exists():
        if not create:
            raise LedgerUnavailable(f"there is no ledger at {path}; start a run there first")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if not stat.S_ISREG(path.stat().st_mode):
        raise LedgerCorrupted(_corrupted(str(path), "it is not a file"))
    for part in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_IMODE(part.stat().st_mode) & 0o077:
                part.chmod(0o600)


def _make_engine(url: URL, *, durable: bool) -> Engine:
    if url.get_backend_name() == "postgresql":
        return _postgresql.make_engine(url, durable=durable)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    level = "FULL" if durable else "OFF"

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver's own implicit transactions begin as readers; ours begin where `begin` says.
        connection.isolation_level = None
        connection.execute(f"PRAGMA synchronous={level}")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA cache_size=-16000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(READ_ONLY, False)
        rows_of(connection, "BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _lay_out(connection: Connection) -> str:
    ledger = uuid.uuid4().hex
    t.metadata.create_all(connection)
    connection.execute(
        t.meta.insert(),
        [{"name": t.VERSION_KEY, "value": str(t.SCHEMA_VERSION)}, {"name": t.UUID_KEY, "value": ledger}],
    )
    return ledger


_UNWRITABLE = ("disk is full", "readonly database", "unable to open database file", "disk i/o error")
_CORRUPTED = ("malformed", "not a database", "file is encrypted", "malformed database schema")


class _WasInTheWay(LedgerUnavailable):
    """Another keeper's transaction was first; nothing was done, and the same work may be done again."""


def _translated(name: str, error: DBAPIError | sqlite3.Error) -> InfrastructureError:
    line = _line(error.orig if isinstance(error, DBAPIError) and error.orig else error)
    words = line.lower()
    code = _postgresql.code_of(error) if isinstance(error, DBAPIError) else ""
    if code in _postgresql.REPEATED:
        return _WasInTheWay(f"the ledger {name} is written by others all the time: {line}; try again")
    if code in _postgresql.UNWRITABLE or (not code and any(sign in words for sign in _UNWRITABLE)):
        return StateUnwritable(_unwritable(name, line))
    if code in _postgresql.CORRUPTED or (not code and any(sign in words for sign in _CORRUPTED)):
        return LedgerCorrupted(_corrupted(name, line))
    return LedgerUnavailable(f"the ledger {name} does not answer: {line}")


def _unwritable(name: str, why: str) -> str:
    mend = "give the role the right to write" if "permission denied for" in why else "make its folder writable"
    return f"the ledger {name} cannot be written: {why}; free space or {mend}, then try again"


def _corrupted(name: str, why: str) -> str:
    return f"the ledger {name} is damaged: {why}; restore a copy of it, or move it away to start a new one"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
