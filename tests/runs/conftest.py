"""A project with its state directory on the session's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash._world import World


@pytest.fixture(scope="module")
def house(module_tmp: Path, ray_cluster: str) -> Iterator[World]:
    made = World(module_tmp, ray_cluster, latency=0.05)
    yield made
    made.close()


@pytest.fixture
def world(house: World) -> World:
    """A new project for each test, on hosts that are up since the first."""
    house.renew()
    return house
