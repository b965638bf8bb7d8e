"""Tasks: what a schema cannot check, what probes ask for, and the order of a round's work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.actors.judging import (
    all_tasks,
    check_next_tasks,
    criteria_from_probes,
    gate,
    goal_task,
    route,
    tasks_from_findings,
)
from bessemer.actors.judging.types import ApproachAssessment, NextTasks, SuccessContract, Task, TaskMetadata
from bessemer.actors.probes.base import ProbeFinding

from .test_verdict import criteria, probe


def task(name: str, category: str = "fix", **more: object) -> Task:
    return Task.model_validate({"id": name, "task_category": category, "description": f"do {name}", **more})


def structural(name: str, category: str = "evolution", **more: object) -> Task:
    return task(name, category, metadata=TaskMetadata(impact="structural"), **more)


def plan(fix=(), evolution=(), ceiling: str = "ceiling_not_reached", **more: object) -> NextTasks:
    return NextTasks.model_validate(
        {
            "objective": "better",
            "primary_strategy": "one",
            "success_contract": SuccessContract(
                outcome_statement="o", quality_bar="q", fail_if_any=("f",), required_evidence=("e",)
            ),
            "approach_assessment": ApproachAssessment.model_validate({"ceiling_status": ceiling}),
            "fix_tasks": tuple(fix),
            "evolution_tasks": tuple(evolution),
            **more,
        }
    )


def test_a_sound_plan_has_no_errors():
    assert check_next_tasks(plan([task("a")], [structural("b", depends_on=("a",))]), criteria("must")) == []


@pytest.mark.parametrize(
    ("fix", "evolution", "more", "where"),
    [
        ([task("a"), task("a")], [structural("b")], {}, "fix_tasks[1].id"),
        ([task("a b")], [structural("b")], {}, "fix_tasks[0].id"),
        ([task("../a")], [structural("b")], {}, "fix_tasks[0].id"),
        ([task("a", depends_on=("x",))], [structural("b")], {}, "fix_tasks[0].depends_on"),
        ([task("a", depends_on=("a",))], [structural("b")], {}, "fix_tasks[0].depends_on"),
        ([task("a", depends_on=("b",))], [structural("b", depends_on=("a",))], {}, "depends_on"),
        ([task("a", metadata={"relates_to": ("E9",)})], [structural("b")], {}, "fix_tasks[0].metadata.relates_to"),
        ([task("a", "evolution")], [structural("b")], {}, "fix_tasks[0].task_category"),
        ([task("a", files=("../x",))], [structural("b")], {}, "fix_tasks[0].files"),
        ([task("a", files=("/etc/passwd",))], [structural("b")], {}, "fix_tasks[0].files"),
        ([task("a", description="  ")], [structural("b")], {}, "fix_tasks[0].description"),
        ([task("a", metadata={"impact": "structural"})], [], {}, "evolution_tasks"),
        ([], [], {}, "fix_tasks"),
        ([task("a")], [task("b", "evolution")], {}, "incremental_override_reason"),
        ([task("a")], [structural("b")], {"ceiling": "ceiling_reached"}, "incremental_override_reason"),
        ([task("a")], [structural("b")], {"strategy_mode": "thesis_shift"}, "strategy_mode"),
    ],
)
def test_each_fault_is_named_by_its_field(fix, evolution, more, where):
    assert [error.where for error in check_next_tasks(plan(fix, evolution, **more), criteria("must"))] == [where]


def test_a_reason_lets_incremental_work_go_on():
    only = plan([task("a")], [task("b", "evolution")], incremental_override_reason="one defect is left")
    assert check_next_tasks(only, criteria("must")) == []


def test_material_gate():
    assert gate([]).kind == "empty"
    assert gate([task("a")]).kind == "only_incremental"
    found = gate([task("a"), structural("b")])
    assert found.kind == "material" and found.counts == {"transformative": 0, "structural": 1, "incremental": 1}


@pytest.mark.parametrize(
    ("ceiling", "order", "told"),
    [
        ("ceiling_not_reached", ["a", "b"], False),
        ("ceiling_approaching", ["a", "b"], False),
        ("ceiling_reached", ["b", "a"], True),
    ],
)
def test_route_by_ceiling(ceiling, order, told):
    tasks, ceiling_reached = route(plan([task("a")], [structural("b")], ceiling))
    assert ([one.id for one in tasks], ceiling_reached) == (order, told)


@given(st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=8))
def test_every_task_comes_once_and_after_what_it_needs(needs: list[set[int]]):
    tasks = [task(f"t{n}", depends_on=tuple(f"t{m}" for m in sorted(of) if m < n)) for n, of in enumerate(needs)]
    ordered = all_tasks(plan(reversed(tasks)))
    assert sorted(one.id for one in ordered) == sorted(one.id for one in tasks)
    seen: set[str] = set()
    for one in ordered:
        assert set(one.depends_on) <= seen
        seen.add(one.id)


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=6))
def test_circles_are_always_found(needs: list[set[int]]):
    count = len(needs)
    tasks = [
        task(f"t{n}", depends_on=tuple(f"t{m % count}" for m in of if m % count != n)) for n, of in enumerate(needs)
    ]
    edges = {one.id: set(one.depends_on) for one in tasks}
    rest = dict(edges)
    while ready := [key for key, of in rest.items() if not of & rest.keys()]:
        for key in ready:
            del rest[key]
    errors = check_next_tasks(plan(tasks, [structural("e")]), criteria("must"))
    assert any(error.where == "depends_on" for error in errors) == bool(rest)


def found(code: str, file: str = "a.py", severity: str = "major", line: int = 1) -> ProbeFinding:
    return ProbeFinding.model_validate(
        {"code": code, "message": f"{code} is wrong", "file": file, "severity": severity, "line": line}
    )


def test_findings_become_tasks_once_each_and_stably():
    ruff = probe(
        "ruff", "failed", findings=(found("F401", line=9), found("F401", line=2), found("E501", "b.py", "minor"))
    )
    tests = probe("pytest", "failed", 1, 2, findings=(found("t.py::test_a", "t.py"),))
    made = tasks_from_findings([tests, ruff], goal="g", criteria=criteria_from_probes(["pytest", "ruff"]))
    assert [(one.probe, one.finding_codes, one.metadata.relates_to) for one in made.fix_tasks] == [
        ("pytest", ("t.py::test_a",), ("E1",)),
        ("ruff", ("F401",), ("E2",)),
        ("ruff", ("E501",), ("E2",)),
    ]
    assert made.evolution_tasks == ()
    again = tasks_from_findings([tests, ruff.model_copy(update={"summary": "other", "seconds": 3.0})])
    assert [one.id for one in again.fix_tasks] == [one.id for one in made.fix_tasks]
    first = made.fix_tasks[0].id
    later = tasks_from_findings([tests, ruff], attempts={first: 1})
    assert later.fix_tasks[-1].id == first


def test_evolution_only_when_all_is_clean():
    made = tasks_from_findings([probe("ruff"), probe("pytest", "unavailable")], goal="make a clock")
    assert made.fix_tasks == () and [one.description for one in made.evolution_tasks] == ["make a clock"]
    assert tasks_from_findings([probe("make", "failed")], goal="g").evolution_tasks == ()
    assert len(tasks_from_findings([probe("make", "timeout")], goal="g").fix_tasks) == 1


def test_ids_are_safe_in_paths_for_any_probe():
    made = tasks_from_findings([probe("sh -c '../../x && y'", "failed"), probe("", "failed")])
    for one in [*made.fix_tasks, goal_task("../..")]:
        assert "/" not in one.id and ".." not in one.id
