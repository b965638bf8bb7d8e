"""Several judges in `evaluate` and `refine`, on the session's cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crash import _scenario as scenario
from tests.crash._world import World, done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_every_judge_scores_every_criterion_and_a_judge_of_its_own_work_is_named(world: World) -> None:
    driver = world.refine("--eval-backends", "scripted/b")
    launched(driver)
    outcome = done(driver)
    assert (outcome["ending"], driver.returncode) == ("converged", 0)
    assert outcome["eval_backend"] == "scripted/j scripted/b"
    panel = outcome["rounds"][0]["panel"]
    assert panel["judges"] == ["scripted/j", "scripted/b"]
    assert [one["scores"] for one in panel["spreads"]] == [{"scripted/j": 4, "scripted/b": 4}] * 3
    assert panel["alpha"] == 1.0
    assert [one["judge"] for one in panel["self_preference"]] == ["scripted/b"]
    written = Path(outcome["directory"]) / "evaluations" / "round_001" / "panel.json"
    assert json.loads(written.read_text())["verdicts"] == {"scripted/j": "iterate", "scripted/b": "iterate"}
    run = outcome["run"]
    verdicts = world.lake.sql(f"SELECT judges, judges_agreeing FROM verdicts WHERE run = '{run}'").to_pylist()
    assert verdicts == [{"judges": 2, "judges_agreeing": 2}] * 2
    scores = world.lake.sql(f"SELECT judge, count(*) AS n FROM scores WHERE run = '{run}' GROUP BY judge").to_pylist()
    assert {one["judge"]: one["n"] for one in scores} == {"scripted/j": 6, "scripted/b": 6}


def _judged(score: int, title: str, tasks: bool, evidence: str = "def double(a):") -> dict[str, Any]:
    """An evaluation that differs from the usual one by its scores and its finding."""
    found = scenario._evaluation(score, scenario._next_tasks() if tasks else None)
    if found["findings"]:
        found["findings"][0] |= {"title": title, "body": f"{title}.", "evidence": evidence}
    return found


def test_of_judges_who_disagree_the_harshest_counts_and_every_finding_is_kept(world: World) -> None:
    path = world.root / "scenario.yaml"
    rules = yaml.safe_load(path.read_text())
    generous = {"persona": "round-evaluator", "backend": "scripted/k"}
    rules["rules"] = [
        {"match": {**generous, "text": r"return a \* 2"}, "answer": {"data": _judged(10, "", False)}},
        {"match": generous, "answer": {"data": _judged(6, "No tests for zero", True, "def add(a, b):")}},
        *rules["rules"],
    ]
    path.write_text(yaml.safe_dump(rules, sort_keys=False))
    driver = world.refine("--eval-backends", "scripted/k")
    launched(driver)
    outcome = done(driver)
    assert (outcome["ending"], driver.returncode) == ("converged", 0), outcome
    first = outcome["rounds"][0]
    assert first["scores"] == {"E1": 4, "E2": 4, "E3": 4}, "the harshest of 4 and 6"
    spreads = first["panel"]["spreads"]
    assert [(one["scores"], one["spread"]) for one in spreads] == [({"scripted/j": 4, "scripted/k": 6}, 2)] * 3
    assert first["panel"]["alpha"] is None or first["panel"]["alpha"] < 0.1, "they agree no better than by chance"
    assert outcome["rounds"][1]["scores"] == {"E1": 9, "E2": 9, "E3": 9}, "the harshest of 9 and 10"
    folder = Path(outcome["directory"]) / "evaluations" / "round_001"
    critique = (folder / "critique_packet.md").read_text()
    assert "double does not double" in critique and "No tests for zero" in critique
    tasks = json.loads((folder / "next_tasks.json").read_text())["tasks"]
    assert any("No tests for zero" in json.dumps(one) for one in tasks), "what only one judge found is a task, too"


def test_a_panel_that_votes_on_an_evaluation_leaves_its_three_files(world: World) -> None:
    harsh, mild = _judged(4, "double does not double", True), _judged(9, "", False)
    labels = ("answer-1", "answer-2")

    def vote(mine: str) -> dict[str, Any]:
        other = next(one for one in labels if one != mine)
        ratings = [
            {"answer": one, "criterion": f"E{n}", "score": 9 if one == mine else 3} for one in labels for n in (1, 2, 3)
        ]
        fields = {"vote": mine, "ranking": [mine, other], "ratings": ratings, "answer": None, "reason": "it is exact"}
        return {"action": "vote", **fields}

    def says(data: dict[str, Any], **match: Any) -> dict[str, Any]:
        return {"match": match, "answer": {"data": data}}

    mildly = r"answer name=.answer-1.\n.{0,4000}double does not double.*answer name=.answer-2"
    rules = [
        says(vote("answer-1"), text=rf"(?s){mildly}"),
        says(vote("answer-2"), text="Answers of others"),
        says({"action": "answer", "reason": "so", "answer": harsh}, backend="scripted/a"),
        says({"action": "answer", "reason": "so", "answer": harsh | {"unexplored": ["tables"]}}, backend="scripted/b"),
        says({"action": "answer", "reason": "so", "answer": mild}, backend="scripted/c"),
    ]
    (world.root / "scenario.yaml").write_text(yaml.safe_dump({"rules": rules}, sort_keys=False))
    words = ["--mode", "evaluate", "--artifacts", "project", "--criteria", "E1: right, E2: readable, E3: noted"]
    flags = ["--no-cwd-context", "--work-dir", "out", "--json", "--backends", *(f"scripted/{one}" for one in "abc")]
    driver = world.command("consensus", "Judge this project", *words, *flags)
    launched(driver)
    outcome = done(driver)
    assert (driver.returncode, outcome["ending"], outcome["mode"]) == (0, "decided", "evaluate"), outcome
    assert outcome["by"] != ["scripted/c"]
    out = world.root / "out"
    verdict = json.loads((out / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["scores"]) == ("iterate", {"E1": 4, "E2": 4, "E3": 4})
    assert "double does not double" in (out / "critique_packet.md").read_text()
    assert {one["id"] for one in json.loads((out / "next_tasks.json").read_text())["tasks"]} >= {"repair-double"}
    assert set(outcome["files"]) >= {"verdict.json", "critique_packet.md", "next_tasks.json"}
    assert json.loads((out / "run_summary.json").read_text())["exit_code"] == 0
