"""Whole runs on the session's cluster, as a user starts them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from bessemer.cluster.workspace import user_checkout_hash
from tests.crash._world import World, done, launched, tree_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_six_runs_at_once_leave_the_checkout_as_it_was(world: World) -> None:
    before = asyncio.run(user_checkout_hash(world.project))
    drivers = [world.refine() for _ in range(6)]
    runs = [launched(driver) for driver in drivers]
    outcomes = [done(driver) for driver in drivers]
    assert [one.get("ending") for one in outcomes] == ["converged"] * 6, outcomes
    assert len(set(runs)) == 6
    assert len({tree_of(one) for one in outcomes}) == 1
    assert len({one["result"] for one in outcomes}) == 6
    assert asyncio.run(user_checkout_hash(world.project)) == before


def test_a_result_is_shown_exported_and_judged_again(world: World, short_tmp: Path) -> None:
    driver = world.refine()
    run = launched(driver)
    outcome = done(driver)
    assert outcome["ending"] == "converged"
    assert "NOTES.md" in {path.name for path in Path(outcome["result"]).iterdir()}, (
        "uncommitted work is part of the result"
    )

    shown = json.loads(_told(world, "run", "show", run, "--json"))
    assert shown["run"]["status"] == "done"
    listed = [json.loads(line)["run"] for line in _told(world, "run", "list", "--json").splitlines()]
    assert listed.count(run) == 1
    rows = json.loads(_told(world, "lake", "sql", f"SELECT count(*) AS n FROM rounds WHERE run = '{run}'", "--json"))
    assert rows == {"n": 2}

    _told(world, "run", "export", run, "--to", "out")
    assert "return a * 2" in (world.root / "out" / "calc.py").read_text()
    _told(world, "run", "export", run, "--patch", "it.patch")
    subprocess.run(["git", "apply", "--check", str(world.root / "it.patch")], cwd=world.project, check=True)
    _told(world, "run", "export", run, "--branch", "better")
    show = subprocess.run(
        ["git", "show", "better:calc.py"], cwd=world.project, capture_output=True, text=True, check=True
    )
    assert "return a + b" in show.stdout

    judged = world.command("evaluate", "out", "--probe", "pytest", "--eval-backends", "probes", "--json")
    launched(judged)
    verdict = done(judged)
    assert (verdict["ending"], judged.returncode) == ("passed", 0)


def test_a_spent_budget_saves_what_there_is_and_a_raised_one_goes_on(world: World) -> None:
    prices = {"scripted/*": {"input": 1000, "output": 1000}}
    config = json.loads((world.root / ".bessemer" / "config.yaml").read_text())
    config["backends"]["prices"] = {"overrides": prices}
    (world.root / ".bessemer" / "config.yaml").write_text(json.dumps(config))
    flags = [
        "--prior-answer",
        "project",
        "--build-backend",
        "scripted/b",
        "--eval-backends",
        "probes",
        "--probe",
        "pytest",
    ]
    poor = world.command("refine", "Make the tests pass", *flags, "--cost-budget", "12", "--json")
    run = launched(poor)
    stopped = done(poor)
    assert (stopped["ending"], poor.returncode) == ("budget", 4)
    assert stopped["cost"] <= 12_000_000
    assert Path(stopped["result"], "calc.py").exists()
    again = world.command("run", "resume", run, "--cost-budget", "900", "--json")
    went_on = done(again)
    assert went_on["ending"] in ("plateau", "max_rounds", "converged")
    assert went_on["cost"] > stopped["cost"]


def _told(world: World, *words: str) -> str:
    line = [*world.base_command(), *words]
    done_ = subprocess.run(line, cwd=world.root, capture_output=True, text=True, timeout=120, check=False)
    assert done_.returncode == 0, done_.stderr
    return done_.stdout
