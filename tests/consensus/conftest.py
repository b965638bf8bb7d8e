"""A panel of scripted agents on the session's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consensus._world import PanelWorld


@pytest.fixture
def world(short_tmp: Path, ray_cluster: str) -> Iterator[PanelWorld]:
    made = PanelWorld(short_tmp, ray_cluster, latency=0.0)
    yield made
    made.close()
