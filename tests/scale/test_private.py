"""The cluster that a single command starts for itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SLOW = "default: { text: late, latency: 120 }\n"


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_private_cluster_has_no_log_monitor(ray_cluster: str) -> None:
    assert any("raylet" in child.name() for child in psutil.Process().children())
    _, alive = psutil.wait_procs(log_monitors(), 30)
    assert not alive


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_signal_to_the_whole_group_leaves_the_driver_its_cluster(short_tmp: Path) -> None:
    (short_tmp / "a.txt").write_text("work\n")
    (short_tmp / "scenario.yaml").write_text(SLOW)
    log = short_tmp / "driver.log"
    judged = ["evaluate", "a.txt", "--criteria", "E1: it is short", "--eval-backends", "scripted/j"]
    command = [sys.executable, "-m", "bessemer.interfaces.cli", *judged]
    environment = {**os.environ, "BESSEMER_SCENARIO": str(short_tmp / "scenario.yaml")}
    with log.open("w") as told:
        driver = subprocess.Popen(
            command, cwd=short_tmp, env=environment, stdout=told, stderr=told, start_new_session=True
        )
    try:
        until("round 1 of 1", log)
        os.killpg(driver.pid, signal.SIGTERM)
        # Ray gives a driver whose cluster is gone a minute, then ends it.
        assert driver.wait(50) == 130, log.read_text()
    finally:
        driver.kill()
        driver.wait()
    assert "bessemer run resume" in log.read_text()


def until(text: str, log: Path) -> None:
    deadline = time.monotonic() + 100
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def log_monitors() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # one that ends right now has no command line any more
            found += [child] if any("log_monitor" in part for part in child.cmdline()) else []
    return found
