"""Ledgers on real databases, with a clock that the test moves.

`url` runs a test twice: on a SQLite file and on a PostgreSQL server. What is about files alone asks for `file_url`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bessemer.cluster.ledger import Ledger
from tests._postgresql import Postgresql
from tests.ledger._make import Clock, one, opening


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A ledger's URL where there is nothing yet."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("file_url"))
    server: Postgresql = request.getfixturevalue("postgresql")
    return server.new_url()


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    """An empty ledger under the test's clock."""
    with Ledger.open(url, clock=clock) as made:
        yield made


@pytest.fixture
def opened(ledger: Ledger) -> Ledger:
    """A ledger with run `r`, opened by owner `a` at epoch 1 under a cap of 1000."""
    one(ledger, opening())
    return ledger


@pytest.fixture
def file_ledger(file_url: str, clock: Clock) -> Iterator[Ledger]:
    """The same as `opened`, and certainly in a file."""
    with Ledger.open(file_url, clock=clock) as made:
        one(made, opening())
        yield made
