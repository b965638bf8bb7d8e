"""How a result leaves a run: written back, refused where the user went on working, and taken up by a fork."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from tests.crash._world import World, done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

FLAGS = ["--prior-answer", "project", "--build-backend", "scripted/b", "--eval-backends", "scripted/j"]


def refine(world: World, *more: str) -> list[str]:
    return ["refine", "Make the tests pass", *FLAGS, "--probe", "pytest", "--json", *more]


def test_apply_writes_the_result_back_and_a_fork_goes_on_from_it(world: World) -> None:
    driver = world.command(*refine(world, "--apply"))
    run = launched(driver)
    outcome = done(driver)
    assert (outcome["ending"], driver.returncode) == ("converged", 0)
    assert "return a + b" in (world.project / "calc.py").read_text()
    assert (world.project / "NOTES.md").read_text() == "# Notes\n\nNot committed yet.\n"

    # As if it had been killed: only the end of a run leaves these.
    files = world.root / ".bessemer" / "runs" / run
    (files / "outcome.json").unlink()
    shutil.rmtree(files / "result")
    forked = world.command("run", "fork", run[:-2], "--json")
    again = done(forked)
    assert (again["ending"], forked.returncode) == ("converged", 0)
    assert again["run"] != run
    said = (world.root / "driver.log").read_text()
    assert f"starting from the work that run {run} accepted last ({outcome['commit'][:12]})" in said
    assert len(again["rounds"]) == 1, "the fork starts from what the first run had reached"
    assert [probe["passed"] for probe in again["before"] if probe["probe"] == "pytest"] == [2]


@pytest.mark.long
def test_apply_is_refused_where_the_user_went_on_working(world: World) -> None:
    driver = world.command(*refine(world, "--apply"))
    run = launched(driver)
    repository = world.root / ".bessemer" / "runs" / run / "repository"
    _until(lambda: "round" in _events(world.root, run), "the run took the work in")
    assert repository.exists()
    mine = (world.project / "calc.py").read_text() + "\n\n# mine\n"
    (world.project / "calc.py").write_text(mine)
    outcome = done(driver)
    assert outcome["event"] == "error"
    assert driver.returncode == 2
    assert f"bessemer run export {run} --to PATH" in outcome["message"]
    assert "calc.py" in outcome["message"]
    assert (world.project / "calc.py").read_text() == mine
    shown = json.loads((world.root / ".bessemer" / "runs" / run / "outcome.json").read_text())
    assert "return a + b" in Path(shown["result"], "calc.py").read_text()


@pytest.mark.long
def test_a_change_of_prompts_is_refused_on_resume_and_a_fork_is_the_remedy(world: World) -> None:
    driver = world.command(*refine(world))
    run = launched(driver)
    _until(lambda: "round" in _events(world.root, run), "the run is under way")
    driver.send_signal(2)
    stopped = done(driver)
    assert (stopped["ending"], driver.returncode) == ("cancelled", 130)
    personas = world.root / ".bessemer" / "personas"
    personas.mkdir()
    shipped = Path(__file__).parents[2] / "configs" / "personas" / "round-evaluator.md"
    (personas / "round-evaluator.md").write_text(shipped.read_text() + "\nBe brief.\n")
    resumed = world.command("run", "resume", run, "--json")
    refused = done(resumed)
    assert resumed.returncode == 2
    assert "another personas" in refused["message"]
    assert f"bessemer run fork {run}" in refused["message"]
    forked = world.command("run", "fork", run, "--json")
    assert done(forked)["ending"] == "converged"


def _events(root: Path, run: str) -> set[str]:
    path = root / ".bessemer" / "runs" / run / "events.jsonl"
    if not path.exists():
        return set()
    return {json.loads(line)["kind"] for line in path.read_text().splitlines() if line.endswith("}")}


def _until(holds: object, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


def test_a_run_is_cancelled_though_it_was_started_with_other_settings(world: World) -> None:
    judged = ["--eval-backends", "probes", "--probe", "sleep 100", "--record", "recording", "--json"]
    driver = world.command("evaluate", "project", *judged)
    run = launched(driver)
    directory = world.root / ".bessemer" / "runs" / run
    _until(lambda: "round" in _events(world.root, run) or (directory / "repository").exists(), "the work was taken in")
    driver_json = json.loads((directory / "driver.json").read_text())
    assert driver_json["settings"]["backends"]["record"]
    assert "ledger" not in driver_json["settings"], "its URL may hold a password"
    # Nobody is asked through the process that started it.
    (directory / "driver.json").write_text(json.dumps(driver_json | {"driver": ""}))
    cancelled = world.command("run", "cancel", run, "--json")
    assert "is stopped" in done(cancelled)["message"]
    assert done(driver)["ending"] == "cancelled"
    assert driver.returncode == 130
