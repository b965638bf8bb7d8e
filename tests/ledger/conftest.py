"""Ledgers on real files, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bessemer.cluster.ledger import Ledger
from tests.ledger._make import Clock, one, opening


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"


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
