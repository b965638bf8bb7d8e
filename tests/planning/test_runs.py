"""Plans written and carried out by whole runs on the session's cluster, as a user starts them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bessemer.pipelines.planning import PlanFolder
from tests._terminal import Terminal
from tests.crash._world import World, done, launched
from tests.planning import _scenario as scenario
from tests.planning._scenario import CYCLE, SOUND, next_tasks, plan_answer, scores, task_answer

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def house(module_tmp: Path, ray_cluster: str) -> Iterator[World]:
    made = World(module_tmp, ray_cluster, latency=0.0)
    yield made
    made.close()


@pytest.fixture
def world(house: World) -> World:
    house.renew()
    return house


def rules(world: World, *given: tuple[dict[str, Any], Any]) -> None:
    scenario.write(world.root / "scenario.yaml", [{"match": m, "answer": {"data": a}} for m, a in given])


def told(world: World, *words: str, code: int = 0) -> str:
    line = [*world.base_command(), *words]
    ended = subprocess.run(line, cwd=world.root, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def run(world: World, *words: str) -> tuple[dict[str, Any], int]:
    process = world.command(*words)
    outcome = done(process)
    assert outcome["event"] == "done", outcome
    return outcome, process.returncode


def adopted(world: World, *tasks: dict[str, Any]) -> PlanFolder:
    """A plan that was made elsewhere."""
    from bessemer.pipelines.planning._modes import PlanAnswer

    data = PlanAnswer.model_validate(plan_answer(*tasks)).as_document()
    (world.root / "plan.json").write_text(json.dumps(data))
    told(world, "plan", "adopt", "plan.json", "--goal", "Make the notes")
    (path,) = (world.root / ".bessemer" / "plans").glob("plan_*")
    return PlanFolder(path)


def carried_out(world: World, *more: str, judge: str = "scripted/j") -> tuple[dict[str, Any], int]:
    flags = ["--prior-answer", "project", "--build-backend", "scripted/b", "--eval-backends", judge]
    return run(world, "plan", "run", *flags, "--probe", "true", "--max-rounds", "1", "--json", *more)


def events(folder: PlanFolder) -> list[str]:
    return [one.event_type for one in folder.log().events]


@pytest.mark.long
def test_a_plan_with_a_cycle_is_corrected_once_and_kept(world: World):
    rules(world, ({"purpose": "plan", "turn": 1}, CYCLE), ({"purpose": "plan", "text": "is in a cycle"}, SOUND))
    outcome, code = run(world, "plan", "new", "Make the notes", "--backend", "scripted/j", "--json")
    assert (code, outcome["ending"], outcome["items"], outcome["calls"]) == (0, "passed", 2, 2), outcome
    folder = PlanFolder(Path(outcome["directory"]))
    assert folder.metadata.planning_session_id == outcome["run"]
    assert [task.id for task in folder.plan().tasks] == ["F001", "F002"]
    assert "F002" in told(world, "plan", "show")
    told(world, "run", "export", outcome["run"], "--to", "taken")
    taken = world.root / "taken" / "workspace" / "plan.json"
    assert taken.read_bytes() == folder.file("workspace").read_bytes()
    told(world, "run", "export", outcome["run"], "--patch", "it.patch", code=2)
    rows = [json.loads(line) for line in told(world, "plan", "tasks", "--json").splitlines()]
    assert [(one["order"], one["id"], one["verification"]) for one in rows] == [
        (1, "F001", "F001.md is there"),
        (2, "F002", "F002.md is there"),
    ]


@pytest.mark.long
def test_a_plan_that_stays_wrong_is_no_plan(world: World):
    rules(world, ({"purpose": "plan"}, CYCLE))
    outcome, code = run(world, "plan", "new", "Make the notes", "--backend", "scripted/j", "--json")
    assert (code, outcome["ending"], outcome["plan_id"]) == (3, "not_judged", "")
    assert "is in a cycle" in outcome["explanation"]
    assert not (world.root / ".bessemer" / "plans").exists()


@pytest.mark.long
def test_a_specification_is_written_sentence_by_sentence(world: World):
    line = {
        "id": "REQ-001", "chunk": "C01_core", "title": "saves", "priority": "P0", "type": "functional",
        "ears": "The user can save", "rationale": "work is lost", "verification": "save and look", "depends_on": [],
    }  # fmt: skip
    wrong = {"feature": "Notes", "overview": "For writers.", "requirements": [line]}
    right = {**wrong, "requirements": [{**line, "ears": "When the user saves, the editor shall write the file"}]}
    rules(world, ({"purpose": "spec", "turn": 1}, wrong), ({"purpose": "spec", "text": "no EARS sentence"}, right))
    outcome, code = run(world, "spec", "new", "Notes get lost", "--backend", "scripted/j", "--json")
    assert (code, outcome["mode"], outcome["items"]) == (0, "spec", 1), outcome
    assert "shall write the file" in told(world, "spec", "show")
    assert told(world, "plan", "run", "--build-backend", "scripted/b", code=2) == ""


def test_a_plan_is_carried_out_chunk_by_chunk(world: World):
    folder = adopted(
        world, task_answer("F001", "C01_base"), task_answer("F002", "C02_more", "F001", eval_checkpoint=True)
    )
    rules(
        world,
        ({"persona": "round-evaluator", "text": "(?s)judge what is there so far.*C02-M1-1"}, scores(3, 9)),
        ({"persona": "round-evaluator", "text": "judge what is there so far"}, scores(2, 4, next_tasks(tasks=False))),
        ({"persona": "round-evaluator", "text": "C02-M1-1"}, scores(2, 9)),
        ({"persona": "round-evaluator"}, scores(1, 9)),
    )
    outcome, code = carried_out(world, "--to", "out")
    assert (code, outcome["ending"]) == (0, "converged"), outcome
    assert [(one["chunk"], one["attempt"], one["ending"], one["mutation"]) for one in outcome["attempts"]] == [
        ("C01_base", 1, "converged", ""),
        ("C02_more", 1, "converged", "fix"),
        ("C02_more", 2, "converged", ""),
    ], "a checkpoint that was not passed is held again, with the task that it belongs to"
    assert outcome["attempts"][-1]["tasks"] == ["C02-M1-1", "F002"]  # sorted
    assert (world.root / "out" / "NOTE.md").exists() and (world.root / "out" / "calc.py").exists()
    assert [task.status for task in folder.plan().tasks] == ["completed", "verified", "verified"]
    about = folder.metadata
    assert (about.status, about.completed_chunks) == ("completed", ("C01_base", "C02_more"))
    assert outcome["drift"] == 0.5 and outcome["divergence_score"] == 1.0
    assert events(folder) == [
        "created", "execution_started", "chunk_started", "chunk_completed", "chunk_started", "checkpoint",
        "plan_mutated", "chunk_started", "checkpoint", "chunk_completed", "execution_ended",
    ]  # fmt: skip
    assert "C02-M1-1" in told(world, "plan", "diff", code=1)
    assert told(world, "plan", "run", code=2) == "", "all is done"


@pytest.mark.long
def test_fixes_change_the_plan_and_the_fourth_change_stops_it(world: World):
    folder = adopted(world, task_answer("F001", "C01_base"))
    rules(
        world,
        ({"persona": "round-evaluator", "text": r"C01-M\d-1"}, scores(2, 4, next_tasks(tasks=False))),
        ({"persona": "round-evaluator"}, scores(1, 4, next_tasks(tasks=False))),
    )
    outcome, code = carried_out(world)
    assert (code, outcome["ending"], outcome["stop"], outcome["chunk"]) == (1, "failed", "mutations", "C01_base")
    assert [one["mutation"] for one in outcome["attempts"]] == ["fix", "fix", "fix", ""]
    assert "after 3 changes" in outcome["explanation"]
    plan = folder.plan()
    assert [task.id for task in plan.tasks] == ["F001", "C01-M1-1", "C01-M2-1", "C01-M3-1"]
    assert [task.status for task in plan.tasks] == ["in_progress", "superseded", "superseded", "in_progress"]
    assert folder.metadata.completed_chunks == ()
    assert folder.metadata.status == "failed"
    mutated = [one for one in folder.log().events if one.event_type == "plan_mutated"]
    assert [(one.data["number"], one.data["drift"]) for one in mutated] == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert "C01-M1-1" in told(world, "plan", "diff", code=1)


@pytest.mark.long
def test_a_person_is_asked_after_the_last_change_and_their_word_counts(world: World):
    folder = adopted(world, task_answer("F001", "C01_base"))
    rules(world, ({"persona": "round-evaluator"}, scores(1, 4, next_tasks(tasks=False))))
    flags = ["--prior-answer", "project", "--build-backend", "scripted/b", "--eval-backends", "scripted/j"]
    words = ["plan", "run", *flags, "--probe", "true", "--max-rounds", "1", "--max-mutations", "1", "--interactive"]
    terminal = Terminal(world, *words)
    try:
        terminal.until("[again/accept/stop] (stop): ")
        assert "was changed once" in terminal.seen
        terminal.type("again\n")
        terminal.until("[again/accept/stop] (stop): ")
        assert "was changed 2 times" in terminal.seen
        terminal.type("accept\n")
        assert terminal.end() == 0, terminal.seen
    finally:
        terminal.close()
    assert folder.metadata.completed_chunks == ("C01_base",)
    mutated = [one for one in folder.log().events if one.event_type == "plan_mutated"]
    assert len(mutated) == 2


@pytest.mark.long
def test_a_reached_ceiling_brings_another_approach_and_superseded_tasks_do_not_block(world: World):
    folder = adopted(
        world,
        task_answer("F001", "C01_base"),
        task_answer("F002", "C01_base", "F001"),
        task_answer("F003", "C02_end", "F002"),
    )
    another = {
        "assessment": "The old way cannot work.",
        "superseded": ["F002"],
        "tasks": [task_answer("F010", "C01_base", "F001")],
    }
    rules(
        world,
        ({"purpose": "replan"}, another),
        ({"persona": "round-evaluator", "text": r"- F002 \("}, scores(2, 4, next_tasks("ceiling_reached"))),
        ({"persona": "round-evaluator", "text": r"- F010 \("}, scores(2, 9)),
        ({"persona": "round-evaluator"}, scores(1, 9)),
    )
    outcome, code = carried_out(world)
    assert (code, outcome["ending"]) == (0, "converged"), outcome
    assert [(one["chunk"], one["mutation"]) for one in outcome["attempts"]] == [
        ("C01_base", "replan"), ("C01_base", ""), ("C02_end", "")
    ]  # fmt: skip
    assert {task.id: task.status for task in folder.plan().tasks} == {
        "F001": "completed", "F002": "superseded", "F003": "completed", "F010": "completed"
    }  # fmt: skip
    (mutated,) = [one for one in folder.log().events if one.event_type == "plan_mutated"]
    assert (mutated.data["superseded"], mutated.data["ceiling"]) == (["F002"], "ceiling_reached")


@pytest.mark.long
def test_a_chunk_whose_time_is_up_is_not_completed_and_goes_on_later(world: World):
    folder = adopted(world, task_answer("F001", "C01_base"))
    slow = {"match": {"persona": "round-evaluator", "backend": "scripted/j"}, "answer": {"data": {}, "latency": 90.0}}
    quick = {"match": {"persona": "round-evaluator"}, "answer": {"data": scores(1, 9)}}
    scenario.write(world.root / "scenario.yaml", [slow, quick])
    outcome, code = carried_out(world, "--chunk-time-budget", "30s")
    assert (code, outcome["ending"], outcome["stop"]) == (3, "deadline", "timed_out")
    about = folder.metadata
    assert (about.status, about.completed_chunks) == ("resumable", ())
    assert about.chunk_history[-1].status == "timed_out"
    assert folder.plan().tasks[0].status == "in_progress"
    assert "chunk_timed_out" in events(folder)
    again, code = carried_out(world, judge="scripted/k")
    assert (code, again["ending"]) == (0, "converged")
    assert folder.metadata.completed_chunks == ("C01_base",)


@pytest.mark.long
def test_an_edit_from_outside_is_taken_over_and_told(world: World):
    folder = adopted(world, task_answer("F001", "C01_base"), task_answer("F002", "C02_more", "F001"))
    slow = {"match": {"persona": "round-evaluator"}, "answer": {"data": scores(1, 9), "latency": 2.0}}
    scenario.write(world.root / "scenario.yaml", [slow])
    process = world.command(
        "plan", "run", "--prior-answer", "project", "--build-backend", "scripted/b", "--eval-backends", "scripted/j",
        "--probe", "true", "--max-rounds", "1", "--json",
    )  # fmt: skip
    launched(process)
    _wait_for(folder, "chunk_started")
    plan = folder.plan()
    folder.write(plan.with_tasks(plan.tasks[1].model_copy(update={"description": "F002 does something else"})))
    assert done(process)["ending"] == "converged"
    assert folder.plan().tasks[1].description == "F002 does something else"
    edited = next(one for one in folder.log().events if one.event_type == "edited_outside")
    assert edited.data["where"] == ["modified F002.description"]


def _wait_for(folder: PlanFolder, event: str) -> None:
    import time

    until = time.monotonic() + 120
    while event not in events(folder):
        assert time.monotonic() < until, events(folder)
        time.sleep(0.05)


@pytest.mark.long
def test_a_spent_budget_leaves_the_plan_resumable_and_a_raised_one_finishes_it(world: World):
    folder = adopted(world, task_answer("F001", "C01_base"), task_answer("F002", "C02_more", "F001"))
    path = world.root / ".bessemer" / "config.yaml"
    config = json.loads(path.read_text())
    config["backends"]["prices"] = {"overrides": {"scripted/*": {"input": 1000, "output": 1000}}}
    path.write_text(json.dumps(config))
    rules(world, ({"persona": "round-evaluator"}, scores(1, 9)))
    poor, code = carried_out(world, "--cost-budget", "15")
    assert (code, poor["ending"], poor["stop"]) == (4, "budget", "stopped"), poor
    assert poor["cost"] <= 15_000_000
    assert folder.metadata.status == "resumable"
    rich, code = run(world, "run", "resume", poor["run"], "--cost-budget", "5000", "--json")
    assert (code, rich["ending"]) == (0, "converged"), rich
    assert [task.status for task in folder.plan().tasks] == ["completed", "completed"]
    told_once = [one.data["key"] for one in folder.log().events if one.event_type != "created"]
    assert len(told_once) == len(set(told_once)), "a replay tells nothing twice"
    assert events(folder).count("chunk_completed") == 2
    assert "converged" in told(world, "run", "show", poor["run"])
