"""Tasks from what probes report."""

from __future__ import annotations

from bessemer.actors.builders import tasks_from_probes
from bessemer.actors.probes.base import ProbeFinding, ProbeResult


def failing(name, line="", file="tests/test_kit.py"):
    return ProbeFinding(
        code=f"{file}::{name}", message="assert", file=file, detail=f">       {line}\nE   assert" if line else ""
    )


def probe(*findings, name="pytest", status="failed", **more):
    return ProbeResult(probe=name, status=status, summary="2 of 9", findings=findings, measure=1.0, **more)


LINT = ProbeFinding(code="F401", message="`re` imported but unused", file="kit.py", line=3, severity="minor")


def test_tests_of_one_function_are_one_task():
    found = probe(
        failing("test_median_even", "assert median([1, 2]) == 1.5"),
        failing("test_median_empty", "assert len(median([])) is None"),
        failing("test_percent", "assert percent(1, 3) == 33.3"),
        failing("test_median_of_text"),
    )
    tasks = tasks_from_probes([found])
    assert [len(task.finding_codes) for task in tasks] == [3, 1]
    assert "median" in tasks[0].description
    assert tasks[0].files == ("tests/test_kit.py",)


def test_one_task_for_each_lint_finding_least_tried_first():
    second = LINT.model_copy(update={"line": 9, "message": "`os` imported but unused"})
    result = [probe(failing("test_x", "assert x() == 1")), probe(LINT, second, name="ruff")]
    tasks = tasks_from_probes(result)
    assert [task.probe for task in tasks] == ["pytest", "ruff", "ruff"]
    assert len({task.id for task in tasks}) == 3
    again = tasks_from_probes(result, {tasks[0].id: 1, tasks[1].id: 2})
    assert [task.id for task in again] == [tasks[2].id, tasks[0].id, tasks[1].id]
    assert len(tasks_from_probes(result, {}, 2)) == 2


def test_an_id_outlives_moved_lines_and_passing_tests():
    before = tasks_from_probes([probe(LINT, name="ruff")])[0]
    moved = tasks_from_probes([probe(LINT.model_copy(update={"line": 7}), name="ruff")])[0]
    assert before.id == moved.id
    two = tasks_from_probes([probe(failing("test_a", "a(1)"), failing("test_a_b", "a(2)"))])[0]
    one = tasks_from_probes([probe(failing("test_a_b", "a(2)"))])[0]
    assert two.id == one.id


def test_only_what_failed_becomes_a_task():
    nothing = [probe(status=status) for status in ("passed", "not_applicable", "unavailable", "error", "timeout")]
    assert tasks_from_probes(nothing) == []
    (task,) = tasks_from_probes([probe(name="make check", evidence="boom")])
    assert (task.probe, task.finding_codes) == ("make check", ())
    assert "boom" in task.implementation_guidance
