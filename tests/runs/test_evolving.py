"""Criteria that are met rise: inside a refinement, and from the command line with a run that met them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crash._world import World, done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

HARDER = "Every function also says what it returns"


@pytest.fixture(scope="module")
def world(module_tmp: Path, ray_cluster: str) -> Iterator[World]:
    made = World(module_tmp, ray_cluster, latency=0.0)
    yield made
    made.close()


def script(world: World, raised: dict[str, Any]) -> None:
    """The usual scenario; work is judged low again once the bar is higher."""
    world.renew()
    path = world.root / "scenario.yaml"
    scenario = yaml.safe_load(path.read_text())
    low = next(rule for rule in scenario["rules"] if rule["match"] == {"persona": "round-evaluator"})
    scenario["rules"] = [
        {"match": {"persona": "criteria-raiser"}, "answer": {"data": raised}},
        {"match": {"persona": "round-evaluator", "text": HARDER}, "answer": low["answer"]},
        *scenario["rules"],
    ]
    path.write_text(yaml.safe_dump(scenario, sort_keys=False))


def change() -> dict[str, Any]:
    anchors = {"three": "none", "five": "some", "seven": "most", "nine": "all"}
    return {
        "type": "elevate", "criterion": "E2", "why": "readable was easy", "text": HARDER, "category": "should",
        "verify_by": "read it", "anti_patterns": ["a docstring that repeats the name", "empty ones"],
        "score_anchors": anchors,
    }  # fmt: skip


@pytest.mark.long
def test_met_criteria_rise_and_the_run_still_counts_as_converged(world: World) -> None:
    script(world, {"changes": [change()], "unchanged_because": ""})
    driver = world.refine("--evolve-criteria", "--max-rounds", "3")
    launched(driver)
    outcome = done(driver)
    assert (outcome["ending"], driver.returncode, outcome["raised"]) == ("converged", 0, [2]), outcome
    assert [one["verdict"] for one in outcome["rounds"]] == ["iterate", "converged", "iterate"]
    assert "met in round 2; raised" in outcome["explanation"]
    assert [one["text"] for one in outcome["criteria"]["criteria"]][1] == HARDER
    run = Path(outcome["directory"])
    kept = json.loads((run / "evaluations" / "round_002" / "criteria.json").read_text())
    assert kept["criteria"][1]["text"] == "The code reads well"
    assert json.loads((run / "criteria.json").read_text())["criteria"][1]["text"] == HARDER
    hashes = world.lake.sql(
        f"SELECT round, criteria_hash FROM rounds WHERE run = '{outcome['run']}' ORDER BY round"
    ).to_pylist()
    assert hashes[0]["criteria_hash"] == hashes[1]["criteria_hash"] != hashes[2]["criteria_hash"]


@pytest.mark.long
def test_a_file_rises_by_a_run_that_met_it_and_by_no_other(world: World) -> None:
    script(world, {"changes": [change()], "unchanged_because": ""})
    driver = world.refine()
    launched(driver)
    outcome = done(driver)
    assert (outcome.get("ending"), outcome.get("raised")) == ("converged", []), outcome
    run = Path(outcome["directory"])

    def evolve(*words: str) -> subprocess.CompletedProcess[str]:
        flags = ["--backend", "scripted/j", "--address", world.address]
        line = [*world.base_command(), "criteria", "evolve", *words, *flags]
        return subprocess.run(line, cwd=world.root, capture_output=True, text=True, timeout=200, check=False)

    ended = evolve(str(run / "criteria.json"), "--from", outcome["run"], "--out", "harder.json")
    assert ended.returncode == 0, ended.stderr
    written = json.loads((world.root / "harder.json").read_text())["criteria"]
    assert [(one["id"], one["text"] == HARDER) for one in written] == [("E1", False), ("E2", True), ("E3", False)]
    assert written[1]["score_anchors"]["9"] == "all" and len(written[1]["anti_patterns"]) == 2
    check = [*world.base_command(), "criteria", "preset", "validate", "harder.json"]
    assert subprocess.run(check, cwd=world.root, capture_output=True, timeout=60, check=False).returncode == 0

    ended = evolve("harder.json", "--from", outcome["run"])
    assert ended.returncode == 2 and "judged by other criteria" in ended.stderr
    ended = evolve("harder.json")
    assert ended.returncode == 2 and "--from RUN" in ended.stderr

    script(world, {"changes": [], "unchanged_because": "nothing is left to ask"})
    (world.root / "mine.json").write_text(json.dumps([{"text": "it greets"}]))
    ended = evolve("mine.json", "--task", "Say hello")
    assert ended.returncode == 0 and "nothing is left to ask" in ended.stderr + ended.stdout
