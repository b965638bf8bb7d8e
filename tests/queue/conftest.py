"""A folder with an empty queue on the session's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.queue._night import Night


@pytest.fixture
def night(short_tmp: Path, ray_cluster: str) -> Iterator[Night]:
    made = Night(short_tmp, ray_cluster)
    yield made
    made.close()
