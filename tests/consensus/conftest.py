"""A panel of scripted agents on the session's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consensus._world import PanelWorld


@pytest.fixture(scope="module")
def house(module_tmp: Path, ray_cluster: str) -> Iterator[PanelWorld]:
    made = PanelWorld(module_tmp, ray_cluster, latency=0.0)
    yield made
    made.close()


@pytest.fixture
def world(house: PanelWorld) -> PanelWorld:
    """A new project for each test, on hosts that are up since the first."""
    house.renew()
    return house
