"""A warm cluster ends whole: also one whose raylet was killed, and one that never came up."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bessemer.cluster import ray_session
from bessemer.cluster.errors import ClusterError
from chaos.processes import MARK, leftovers

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture
def own(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for Ray's files and the note of the warm cluster that is this test's own."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what a start sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("TMPDIR", str(short_tmp))
    monkeypatch.setenv(MARK, str(short_tmp))
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "200")
    monkeypatch.setattr(ray_session, "START_SECONDS", 220.0)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield short_tmp
    ray_session.stop_warm()


def test_a_cluster_whose_raylet_was_killed_is_ended_with_everything_it_started(own: Path) -> None:
    warm = ray_session.start_warm(1)
    head = psutil.Process(warm.raylet)
    head.kill()
    with contextlib.suppress(psutil.Error):
        head.wait(30)
    assert ray_session.warm_cluster() is None
    assert leftovers(own, (own,), set()), "Ray ends its server by itself now: this test has nothing to show"
    assert ray_session.stop_warm()
    assert _gone(own)
    assert not ray_session.stop_warm()


HOST = """
import json, ray
from bessemer.actors.limiter import Limiter
from bessemer.cluster import ray_session
ray_session.join("auto")
host = Limiter.options(name="limiter", namespace="test", lifetime="detached").remote()
print(json.loads(ray.get(host.describe.remote(b"{}")))["ok"]["pid"])
"""


def test_a_host_ends_with_its_raylet_whatever_ray_s_timers_do(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As long as a clock that was set back keeps Ray's own check from being made.
    monkeypatch.setenv("RAY_raylet_death_check_interval_milliseconds", "3600000")
    warm = ray_session.start_warm(1)
    # A command of its own, which finds the cluster and its token by itself.
    fresh = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    line = [sys.executable, "-c", HOST]
    started = subprocess.run(line, env=fresh, capture_output=True, text=True, timeout=120, check=True)
    host = psutil.Process(int(started.stdout))
    assert host.is_running()
    psutil.Process(warm.raylet).kill()
    host.wait(30)


def test_a_start_that_is_given_up_leaves_nothing_running(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The command is ended while Ray is coming up.
    monkeypatch.setattr(ray_session, "START_SECONDS", 2.0)
    with pytest.raises(ClusterError, match="did not start within"):
        ray_session.start_warm(1)
    assert _gone(own)


def _gone(place: Path) -> bool:
    deadline = time.monotonic() + 30
    while (found := leftovers(place, (place,), {os.getpid()})) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not found, found
    return True
