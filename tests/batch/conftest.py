from __future__ import annotations

import contextlib
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


@contextlib.asynccontextmanager
async def _bench(provider: str, simulator: Simulator, folder: Path) -> AsyncIterator[Bench]:
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}", durable=False)
    made = Bench(ledger, GroupCommit(ledger), simulator, provider)
    yield made
    await made.close()


@pytest.fixture(params=list(MODELS))
async def bench(request: pytest.FixtureRequest, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Bench]:
    async with _bench(request.param, simulator, tmp_path) as made:
        yield made


@pytest.fixture
async def anthropic(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Bench]:
    async with _bench("anthropic", simulator, tmp_path) as made:
        yield made


@pytest.fixture
async def xai(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Bench]:
    async with _bench("xai", simulator, tmp_path) as made:
        yield made
