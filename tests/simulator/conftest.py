"""A simulator for the tests of this folder, and the vendors' own SDKs pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bessemer.interfaces.simulator import Simulator, running
from tests.simulator._sdks import SDKs


@pytest.fixture(scope="session")
def shared() -> Iterator[Simulator]:
    with running(seed=7, batch_seconds=0) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared: Simulator) -> Iterator[Simulator]:
    yield shared
    shared.set(faults=[], rate="", latency="0", concurrency=None, batch_seconds=0, batch_expires=86400)


@pytest.fixture
async def sdks(simulator: Simulator) -> AsyncIterator[SDKs]:
    opened = SDKs(simulator.url, simulator.xai_host)
    yield opened
    await opened.close()


def last(simulator: Simulator) -> dict[str, Any]:
    """The newest entry of the books."""
    return simulator.books()[-1]
