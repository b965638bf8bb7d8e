"""A driver with a Ray of its own, killed: the machine room dies with it, and a second driver takes the run up."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.crash._world import World, done, kill, launched, tree_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

FLAGS = ["--prior-answer", "project", "--build-backend", "scripted/b", "--eval-backends", "scripted/j"]


class Alone(World):
    """A project whose drivers start Ray themselves, out of sight of any warm cluster of this user."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "", latency=0.3)
        self._temporary = root / "t"
        self._temporary.mkdir()
        self._drivers: list[subprocess.Popen[str]] = []

    def command(self, *words: str) -> subprocess.Popen[str]:
        log = (self.root / "driver.log").open("a")
        environment = {**os.environ, "TMPDIR": str(self._temporary)}
        line = [*self.base_command(), *words]
        made = subprocess.Popen(
            line, cwd=self.root, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
        )
        self._drivers.append(made)
        return made

    def processes(self) -> list[psutil.Process]:
        """Everything that was started with this folder for temporary files."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == str(self._temporary) and process.pid != os.getpid():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def close(self) -> None:
        for driver in self._drivers:
            if driver.poll() is None:
                driver.kill()
            driver.wait()
        for process in self.processes():
            kill(process.pid)


@pytest.fixture
def alone(short_tmp: Path) -> Iterator[Alone]:
    made = Alone(short_tmp)
    yield made
    made.close()


@pytest.mark.long
def test_a_killed_driver_takes_its_ray_along_and_the_run_goes_on_under_another(alone: Alone) -> None:
    driver = alone.command("refine", "Make the tests pass", *FLAGS, "--probe", "pytest", "--json")
    run = launched(driver)
    _until(lambda: len(_served(alone)) >= 3, "three calls were made", 120)

    second = alone.command("run", "resume", run, "--json")
    refused = done(second)
    assert second.returncode == 5, refused
    assert f"run {run} is open in process" in refused["message"]
    assert f"bessemer run cancel {run}" in refused["message"]

    driver.kill()
    driver.wait()
    resumed = alone.command("run", "resume", run, "--json")
    outcome = done(resumed)
    assert (outcome["ending"], resumed.returncode) == ("converged", 0), outcome
    attempts = {one.attempt: one for one in alone.ledger.attempts(run)}
    served = [str(entry["attempt"]) for entry in _served(alone)]
    assert len(served) == len(set(served)), "an attempt was sent twice"
    settled = [(one.path, one.index) for one in attempts.values() if one.state == "settled"]
    assert len(settled) == len(set(settled)), "a call was bought twice"
    assert set(served) <= set(attempts)
    assert tree_of(outcome)
    _until(lambda: not alone.processes(), "every process of the killed driver's Ray ended", 60)


def _served(alone: Alone) -> list[dict[str, object]]:
    if not alone.books.exists():
        return []
    return [json.loads(line) for line in alone.books.read_text().splitlines()]


def _until(holds: object, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
