"""Statements that a group runs all the time, past SQLAlchemy's results: its text, the driver's own rows.

Core makes each text once. On SQLite the driver's cursor takes it directly, because a result object around each of a
group's ten statements costs about as much as all of them; on a server SQLAlchemy stays between, which learns from an
error that a connection is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.expression import Executable


def text_of(statement: Executable, dialect: Dialect) -> tuple[str, list[str]]:
    """The statement as this database's driver takes it, lists of keys written out; and its parameters, in order."""
    compiled: Any = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
    return str(compiled), compiled.positiontup


def rows_of(connection: Connection, text: str, values: Sequence[Any] = ()) -> Iterable[Sequence[Any]]:
    """The rows that a text brings, with the driver's own values."""
    if connection.dialect.name == "sqlite":
        rows: Iterable[Sequence[Any]] = _driver(connection).execute(text, values)
        return rows
    return connection.exec_driver_sql(text, tuple(values))


def write_rows(connection: Connection, text: str, rows: list[Any]) -> None:
    """Run a text that brings nothing once per row of values."""
    if connection.dialect.name == "sqlite":
        _driver(connection).executemany(text, rows)
    else:
        connection.exec_driver_sql(text, rows)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
