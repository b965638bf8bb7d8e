"""A project with its state directory on the session's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash._world import World


@pytest.fixture
def world(short_tmp: Path, ray_cluster: str) -> Iterator[World]:
    made = World(short_tmp, ray_cluster, latency=0.05)
    yield made
    made.close()
