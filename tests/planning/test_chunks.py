"""A chunk as a refinement: what is left, what it is judged by, and how its plan changes."""

from __future__ import annotations

from typing import Any

from bessemer.actors.judging.types import NextTasks
from bessemer.pipelines.planning import ProjectPlan, check_plan
from bessemer.pipelines.planning._chunk import (
    chunk_criteria,
    chunk_task,
    next_chunk,
    open_tasks,
    slug,
    wants_evaluation,
)
from bessemer.pipelines.planning._documents import PlanTask
from bessemer.pipelines.planning._living import with_status
from bessemer.pipelines.planning._mutate import Mutation, _read_replan, fixes
from tests.planning._plans import SOUND, exploratory, task
from tests.planning._scenario import next_tasks, task_answer


def plan(*tasks: dict[str, Any]) -> ProjectPlan:
    found = check_plan({"tasks": list(tasks) or SOUND["tasks"]})
    assert found.document is not None, found.problems
    return found.document


def test_superseded_tasks_block_nobody():
    one = plan(task("A"), task("B", "C1", "A"), task("C", "C2", "B"))
    assert next_chunk(one) == "C1"
    one = with_status(with_status(one, {"A"}, "superseded"), {"B"}, "completed")
    assert next_chunk(one) == "C2"
    assert with_status(one, {"A"}, "completed").by_id()["A"].status == "superseded"
    assert next_chunk(with_status(one, {"C"}, "verified")) == ""


def test_open_tasks_come_in_the_order_they_can_be_done():
    one = plan(task("B", "C1", "A"), task("A"), task("D", "C1", "B"))
    assert [found.id for found in open_tasks(one, "C1")] == ["A", "B", "D"]


def test_the_whole_is_judged_after_checkpoints_and_exploration():
    checkpoint = task("A")
    checkpoint["metadata"]["eval_checkpoint"] = True
    assert wants_evaluation(plan(checkpoint).tasks)
    assert wants_evaluation(plan(exploratory("A")).tasks)
    assert not wants_evaluation(plan(task("A")).tasks)


def test_builders_are_told_their_tasks_and_not_those_of_others():
    text = chunk_task("Make a site", with_status(plan(), {"F001", "F002"}, "completed"), "C02_pages", [plan().tasks[2]])
    assert "Make a site" in text and "F003" in text and "Good when: it reads well" in text
    assert "Done before, to build on: F001" in text and "F004" not in text and "C10_docs" in text


def test_criteria_come_from_verification_and_never_exceed_what_can_be_judged():
    found = chunk_criteria(plan(exploratory("A")).tasks)
    assert [(one.category, one.text) for one in found.criteria] == [
        ("must", "A: A is there"), ("should", "A: it reads well"), ("should", "A: it is short")
    ]  # fmt: skip
    many = chunk_criteria(plan(*(exploratory(f"T{n}") for n in range(30))).tasks)
    assert len(many.criteria) == 12
    said = " ".join(one.text for one in many.criteria)
    assert all(f"T{n}: T{n} is there" in said for n in range(30)), "nothing is dropped"


def test_labels_that_look_alike_have_paths_of_their_own():
    assert slug("C01_a") == "C01_a"
    assert len({slug("C 1"), slug("C/1"), slug("C-1"), slug("../C"), slug("")}) == 5
    assert "/" not in slug("../../x")


def found_tasks(ceiling: str) -> NextTasks:
    data = next_tasks(ceiling)
    data.pop("ceiling_explanation"), data.pop("breakthroughs"), data.pop("paradigm_shift")
    status = data.pop("ceiling_status")
    for key in ("fix_tasks", "evolution_tasks"):
        data[key] = [{"id": one["id"], "description": one["description"]} for one in data[key]]
    return NextTasks.model_validate({**data, "approach_assessment": {"ceiling_status": status}})


def test_fixes_come_first_and_evolution_joins_near_the_ceiling():
    far = fixes(plan(), "C01_base", found_tasks("ceiling_not_reached"), 1)
    near = fixes(plan(), "C01_base", found_tasks("ceiling_approaching"), 2)
    assert [one.id for one in far.added] == ["C01-M1-1"]
    assert [one.id for one in near.added] == ["C01-M2-1", "C01-M2-2"]
    changed = near.apply(plan())
    assert [one.id for one in changed.tasks][-2:] == ["C01-M2-1", "C01-M2-2"]


def test_what_an_evaluation_named_is_superseded_by_the_next_one_and_the_plans_own_tasks_stay_open():
    first = fixes(plan(), "C01_base", found_tasks("ceiling_not_reached"), 1).apply(plan())
    second = fixes(first, "C01_base", found_tasks("ceiling_not_reached"), 2).apply(first)
    left = [task.id for task in open_tasks(second, "C01_base")]
    assert left == [*(task.id for task in open_tasks(plan(), "C01_base")), "C01-M2-1"]
    assert second.by_id()["C01-M1-1"].status == "superseded"
    assert check_plan(second.model_dump(mode="json")).document == second, "a file keeps whose task it is"


def test_a_change_that_would_break_the_plan_is_not_made():
    broken = Mutation(kind="replan", added=(PlanTask.model_validate(task("X", "C01_base", "nowhere")),))
    assert broken.apply(plan()) == plan()


def replanned(*tasks: dict[str, Any], superseded: tuple[str, ...] = ()) -> list[str]:
    data = {"assessment": "a", "superseded": list(superseded), "tasks": list(tasks)}
    return list(_read_replan(data, plan(), "C02_pages").problems)


def test_another_approach_is_checked_against_the_whole_plan():
    assert replanned(task_answer("N1", "C02_pages", "F002"), superseded=("F003",)) == []
    assert "there is no task 'F9'" in replanned(task_answer("N1", "C02_pages"), superseded=("F9",))[0]
    assert "finished chunk" in replanned(task_answer("N1", "C02_pages"), superseded=("F001",))[0]
    assert "is finished" in replanned(task_answer("N1", "C01_base"))[0]
    assert "give a new one" in replanned(task_answer("F004", "C02_pages"))[0]
    assert "none is in 'C02_pages'" in replanned()[0]
    assert "'nowhere'" in replanned(task_answer("N1", "C02_pages", "nowhere"))[0]
    assert "cycle" in " ".join(replanned(task_answer("N1", "C02_pages", "N2"), task_answer("N2", "C02_pages", "N1")))
