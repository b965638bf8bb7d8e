"""Probes of a run on other machines: Ray nodes of this one, which share its folders and its Python."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bessemer.actors.apart._probers import bound_to_a_machine
from tests.crash._world import done, launched
from tests.machines._pretended import PretendedMachines
from tests.machines._stage import Team


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    """A head, and two machines that measure for it; work travels through a folder. The last test here breaks one."""
    root = Path(tempfile.mkdtemp(prefix="bsm-t-"))
    machines = PretendedMachines()
    try:
        machines.start(("w1", "w2"))
        made = Team(root, machines)
        made.configure(workspace={"url": str(root / "store")})
        yield made
    finally:
        machines.close()
        shutil.rmtree(root, ignore_errors=True)


def probers(team: Team) -> dict[str, dict[str, Any]]:
    return {row["actor"]: row for row in team.actors() if row["actor"].startswith("prober/")}


@pytest.mark.machines
@pytest.mark.timeout(600)
def test_a_commit_is_measured_where_the_processors_are(team: Team) -> None:
    driver = team.evaluate("pytest", "ls /srv/nothing", "no-such-program")
    run = launched(driver)
    outcome = done(driver)
    assert "probes" in outcome, team.said()
    counted, bound, missing = outcome["probes"]
    assert (counted["status"], counted["passed"], counted["total"]) == ("failed", 0, 2)
    assert (bound["status"], missing["status"]) == ("failed", "error")
    (place,) = team.machines.places_of(run)
    assert list((place.parent / "scratch").iterdir()) == []
    assert list((team.root / "store").iterdir()) == []
    measured = {name: row["measured"] for name, row in probers(team).items()}
    # The baseline and the submission; here only what names a place of this machine, and what the other one lacks.
    assert sorted(measured.values()) == [4, 4]


@pytest.mark.long
@pytest.mark.machines
@pytest.mark.timeout(600)
def test_a_machine_that_dies_while_it_measures_is_replaced(team: Team) -> None:
    driver = team.evaluate("sleep 20; echo 7")
    launched(driver)
    deadline = time.monotonic() + 240
    while not (busy := [row for row in probers(team).values() if row.get("hosts")]):
        assert time.monotonic() < deadline and driver.poll() is None, team.said()
    host = psutil.Process(busy[0]["pid"])
    (raylet,) = (process for process in host.parents() if process.name() == "raylet")
    for process in (raylet, host):
        process.kill()
    (result,) = done(driver)["probes"]
    assert (result["status"], result["measure"]) == ("passed", 7.0)


@pytest.mark.parametrize(
    ("command", "bound"),
    [
        ("pytest -q", False),
        ("python -m pytest tests/unit > /dev/null; echo 1", False),
        ("/usr/bin/make check", False),
        ("./check.sh src/a", False),
        ("/opt/lint/run .", True),
        ("check --config=/home/ann/check.ini", True),
        ("check '~/rules'", True),
        ("node $HOME/x.js", True),
    ],
)
def test_a_probe_that_names_a_place_of_this_machine_stays(command: str, bound: bool) -> None:
    assert bound_to_a_machine(command) is bound
