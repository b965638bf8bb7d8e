"""The cluster that a single command starts for itself."""

from __future__ import annotations

import contextlib

import psutil
import pytest


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_private_cluster_has_no_log_monitor(ray_cluster: str) -> None:
    assert any("raylet" in child.name() for child in psutil.Process().children())
    _, alive = psutil.wait_procs(log_monitors(), 30)
    assert not alive


def log_monitors() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # one that ends right now has no command line any more
            found += [child] if any("log_monitor" in part for part in child.cmdline()) else []
    return found
