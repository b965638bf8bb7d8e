"""Several machines, a database and an object store: links are cut, machines and drivers die, the books are right."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._postgresql import Postgresql
from tests._s3 import S3
from tests.crash._world import done, launched, read_books
from tests.machines._machines import Machines
from tests.machines._stage import Team, machines_for
from tests.machines.test_ground import check

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def team(s3_server: S3, postgresql: Postgresql) -> Iterator[Team]:
    """One project on three machines for all tests here; the last of them breaks the machines."""
    root = Path(tempfile.mkdtemp(prefix="bsm-t-"))
    machines = machines_for(hidden=(root / "project", root / ".bessemer"))
    try:
        stage = Team(root, machines, ledger_url=postgresql.new_url(), lake_url=s3_server.new_url(), s3=s3_server)
        machines.start(("w1", "w2"))
        stage.address = machines.address
        yield stage
    finally:
        machines.close()
        shutil.rmtree(root, ignore_errors=True)


def bought(team: Team, run: str, count: int) -> None:
    """Wait until the vendor served so many calls of a run."""
    deadline = time.monotonic() + 180
    while len(read_books(team.books, run)) < count:
        assert time.monotonic() < deadline, team.said()
        time.sleep(0.05)


@pytest.mark.long
def test_work_goes_to_machines_that_see_nothing_of_the_project(team: Team) -> None:
    driver = team.refine()
    run = launched(driver)
    outcome = done(driver)
    check(team, run, outcome)
    assert team.machines.places_of(run)
    status = team.command("cluster", "status", "--json")
    text, _ = status.communicate(timeout=120)
    where = {row["actor"]: row.get("node") for row in json.loads(text)["actors"]}
    elsewhere = [name for name, node in where.items() if name.startswith("builder/") and node != where["ledger"]]
    assert elsewhere
    assert where["ledger"] == where["lake"]


def test_a_machine_with_other_code_is_refused(team: Team) -> None:
    """The driver is of another version than what the machines have installed."""
    code = (
        "import ray, sys; from bessemer.actors import _nodes; from bessemer.cluster.home import Home; "
        f"ray.init(address={team.address!r}, log_to_driver=False, logging_level='ERROR'); "
        "home = Home(state_dir='/x', ledger_url='sqlite:////x', lake_url='/x', settings={}, code='f' * 64); "
        "_nodes.check_nodes(home)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=team.machines.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "ffffffffffff" in ended.stderr and "install the same version there" in ended.stderr


@pytest.mark.parametrize("without", [pytest.param("RAY_AUTH_MODE", marks=pytest.mark.long), "RAY_AUTH_TOKEN_PATH"])
def test_a_driver_without_the_token_is_told_of_it(team: Team, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    monkeypatch.delitem(team.machines.environment, without)
    monkeypatch.setitem(team.machines.environment, "HOME", str(team.root))
    driver = team.refine()
    driver.communicate(timeout=120)
    assert driver.returncode == 5
    error = team.said().rpartition("error: ")[2]
    assert "token" in error and "RAY_AUTH_TOKEN_PATH" in error


def test_builds_survive_a_cut_link_a_dead_machine_and_a_dead_driver(team: Team) -> None:
    first, second = team.refine(), team.refine()
    runs = launched(first), launched(second)
    for run in runs:
        bought(team, run, 3)
    if isinstance(team.machines, Machines):
        team.machines.cut(0)
    second.send_signal(signal.SIGKILL)
    second.wait(timeout=30)
    bought(team, runs[0], 4)
    team.machines.kill_raylet(1)
    if isinstance(team.machines, Machines):
        time.sleep(3)
        team.machines.mend(0)
    resumed = team.resume(runs[1])
    outcomes = dict(zip(runs, (done(first), done(resumed)), strict=True))
    for run, outcome in outcomes.items():
        check(team, run, outcome)
