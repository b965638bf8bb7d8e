"""What histories are drawn from, and the one ledger that all of them happen to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from bessemer.cluster.ledger import Ledger
from tests.ledger._make import Clock

RUNS = ("r1", "r2")
SHARED = "queue:night"
CAP, SHARED_CAP = 45, 70
TABLES = ("scope", "run", "token", "step", "call", "attempt", "observation", "outbox", "audit")

runs = st.sampled_from(RUNS)
owners = st.sampled_from(["a", "b"])
indexes = st.integers(0, 2)
hashes = st.sampled_from(["h1"] * 9 + ["h2"])
worsts = st.sampled_from([20, 30, 10, 5, 0])
parkings = st.sampled_from([False, False, False, True])
thens = st.sampled_from(["answered", "lost", "sent", "refused", "nothing", "lost"])
ages = st.sampled_from([0, 0, 0, 0, 1])
"""How many epochs behind the caller is."""
picks = st.integers(0, 7)
shares = st.integers(0, 4)
"""Quarters of the worst case that the vendor bills."""


MOVES: list[str] = []
"""Names of what may happen, the likely ones several times."""
DRAWS: dict[str, dict[str, st.SearchStrategy[Any]]] = {}


def move(weight: int, **draws: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """Register a method as something that may happen.

    Hypothesis would take each rule as likely as any other and leave whole rules out of a history; buying and ending
    calls would be too rare among everything else to meet each other.
    """

    def register(method: Any) -> Any:
        MOVES.extend([method.__name__] * weight)
        DRAWS[method.__name__] = draws
        return method

    return register


class Bench:
    """One ledger for all histories, emptied between them; laying out tables anew would take most of the time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.ledger = self.open()
        self.sql = raw_sql(url)

    def open(self) -> Ledger:
        return Ledger.open(self.url, clock=self.clock, durable=False)

    def restart(self) -> None:
        self.ledger.close()
        self.ledger = self.open()

    def empty(self) -> None:
        self.sql.execute("BEGIN")
        for table in TABLES:
            self.sql.execute(f"DELETE FROM {table}")
        self.sql.execute("COMMIT")
        self.clock.now = 1_800_000_000.0

    def dump(self) -> list[Any]:
        return [self.sql.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES]

    def close(self) -> None:
        self.sql.close()
        self.ledger.close()


def raw_sql(url: str) -> Any:
    """A connection of the database's own driver, without anything of the ledger's between."""
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    import psycopg

    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
