from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bessemer.cluster.ledger import GroupCommit, Ledger
from bessemer.interfaces.simulator import Simulator, running

from ._bench import MODELS, Bench


@pytest.fixture(scope="session")
def shared() -> Iterator[Simulator]:
    with running(seed=7, batch_seconds=0.3) as made:
        yield made


@pytest.fixture
def simulator(shared: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    for name, value in shared.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BESSEMER_XAI_HOST", shared.xai_host)
    yield shared
    shared.set(faults=[], batch_seconds=0.3, batch_expires=86400)


@pytest.fixture(params=list(MODELS))
async def bench(request: pytest.FixtureRequest, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Bench]:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", durable=False)
    made = Bench(ledger, GroupCommit(ledger), simulator, request.param)
    yield made
    await made.close()
