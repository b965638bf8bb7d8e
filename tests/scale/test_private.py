"""The cluster that a single command starts for itself."""

from __future__ import annotations

import psutil
import pytest


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_private_cluster_has_no_log_monitor(ray_cluster: str) -> None:
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert any("raylet" in child.name() for child in living)
    _, alive = psutil.wait_procs(
        [child for child in living if any("log_monitor" in part for part in child.cmdline())], 30
    )
    assert not alive
