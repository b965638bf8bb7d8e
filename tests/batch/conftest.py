from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bessemer.cluster.ledger import GroupCommit, Ledger
from bessemer.interfaces.simulator import Simulator, running

from ._bench import MODELS, Bench


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with running(seed=7, batch_seconds=0.3) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("BESSEMER_XAI_HOST", made.xai_host)
        yield made


@pytest.fixture(params=list(MODELS))
async def bench(request: pytest.FixtureRequest, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Bench]:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", durable=False)
    made = Bench(ledger, GroupCommit(ledger), simulator, request.param)
    yield made
    await made.close()
