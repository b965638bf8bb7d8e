"""How a refinement ends where it does not converge: what was lost is not handed in, standing still and time end it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crash._scenario import _comparison
from tests.crash._world import World, done, launched
from tests.planning import _scenario as scenario
from tests.planning._scenario import next_tasks, scores

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

CRITERIA = ["--criteria", "E1: every test passes, E2: it reads well"]


def ended(world: World, *more: str) -> tuple[dict[str, Any], int]:
    driver = world.refine(*more)
    launched(driver)
    return done(driver), driver.returncode


def compared(better: str) -> dict[str, Any]:
    """The guard's answer where one side is better in everything."""
    found = _comparison()
    worse = "b" if better == "A" else "a"
    for one in found["dimensions"]:
        one |= {f"answer_{worse}_score": 3, "stronger": better, "difference": "substantial", "evidence": ""}
    return found


def test_what_a_guard_sees_lost_goes_back_to_building_and_then_the_previous_answer_stands(world: World) -> None:
    path = world.root / "scenario.yaml"
    known = yaml.safe_load(path.read_text())
    newer_is_a = {"persona": "regression-guard", "text": r"(?s)# A\n.*return a \* 2.*# B\n"}
    guards = [
        {"match": newer_is_a, "answer": {"data": compared("B")}},
        {"match": {"persona": "regression-guard"}, "answer": {"data": compared("A")}},
    ]
    path.write_text(yaml.safe_dump({**known, "rules": [*guards, *known["rules"]]}, sort_keys=False))
    outcome, code = ended(world, "--max-rounds", "2")
    assert (code, outcome["ending"]) == (1, "max_rounds"), outcome
    first, second = outcome["rounds"]
    assert (first["guard"], second["guard"]) == ("skipped", "mixed"), "the tests improved, so not all is lost"
    assert second["commit"] == first["commit"]
    rebuilt = [one.path for one in world.ledger.calls(outcome["run"]) if "guard-0" in one.path]
    assert rebuilt, "what was lost went back to building"
    text = Path(outcome["result"], "calc.py").read_text()
    assert "return a + b" in text and "return a * 2" not in text


def test_two_rounds_without_gain_are_a_plateau(world: World) -> None:
    rule = {"match": {"persona": "round-evaluator"}, "answer": {"data": scores(2, 4, next_tasks())}}
    scenario.write(world.root / "scenario.yaml", [rule])
    outcome, code = ended(world, "--max-rounds", "6", *CRITERIA)
    assert (code, outcome["ending"], len(outcome["rounds"])) == (1, "plateau", 3), outcome


def test_time_that_is_up_saves_what_was_accepted(world: World) -> None:
    slow = {"match": {"persona": "round-evaluator"}, "answer": {"data": scores(2, 9), "latency": 200.0}}
    scenario.write(world.root / "scenario.yaml", [slow])
    # Long enough for a busy machine to build, and far less than the judge takes.
    outcome, code = ended(world, "--time-budget", "30s", *CRITERIA)
    assert (code, outcome["ending"]) == (3, "deadline"), outcome
    assert Path(outcome["result"], "NOTE.md").exists()
