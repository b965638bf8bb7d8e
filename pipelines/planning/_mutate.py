"""Changing a plan under way: fixes while the approach carries, another approach once it has reached its ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.actors.asking import Read, ask_checked, field_errors
from bessemer.actors.backends.base import ModelRequest
from bessemer.actors.crew import RunCrew
from bessemer.actors.judging.types import ApproachAssessment, NextTasks, Task
from bessemer.actors.reviewers import Fence, headed
from bessemer.cluster.run import Step
from bessemer.pipelines.planning._chunk import open_tasks
from bessemer.pipelines.planning._documents import PlanTask, ProjectPlan, TaskDetails
from bessemer.pipelines.planning._graph import chunks_in_order
from bessemer.pipelines.planning._living import sound
from bessemer.pipelines.planning._modes import TaskAnswer
from bessemer.pipelines.planning._reading import check_plan

MOST_FIXES = 8
"""Tasks that one mutation adds at most."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReplanAnswer(_Frozen):
    assessment: str
    superseded: list[str]
    tasks: list[TaskAnswer]


class Mutation(_Frozen):
    """A change of the plan: tasks that are new, tasks that nothing waits for any more, and why."""

    kind: Literal["fix", "replan", "none"]
    added: tuple[PlanTask, ...] = ()
    superseded: tuple[str, ...] = ()
    why: str = ""

    def apply(self, plan: ProjectPlan) -> ProjectPlan:
        """The plan with this change; one that would no longer be sound is left as it is."""
        known = plan.by_id()
        replaced = [
            known[name].model_copy(update={"status": "superseded"}) for name in self.superseded if name in known
        ]
        new = plan.with_tasks(*replaced, *(task for task in self.added if task.id not in known))
        return plan if sound(new) else new


def fixes(plan: ProjectPlan, chunk: str, found: NextTasks, number: int) -> Mutation:
    """The evaluation's tasks as tasks of the chunk: fixes first, then what evolves it where the ceiling is near.

    Those that the evaluation before named are superseded, done or not: this one has seen what came of them.
    """
    assessment = found.approach_assessment
    tasks: Sequence[Task] = found.fix_tasks
    if assessment.ceiling_status != "ceiling_not_reached" or not tasks:
        tasks = (*found.fix_tasks, *found.evolution_tasks)
    known = {task.id for task in plan.tasks}
    added: list[PlanTask] = []
    for task in tasks[:MOST_FIXES]:
        name = _new_id(known, f"{chunk.split('_')[0]}-M{number}-{len(added) + 1}")
        known.add(name)
        details = TaskDetails(
            verification=task.success_criteria or task.verification or task.description,
            verification_method=task.verification_method,
            is_fix=True,
        )
        added.append(PlanTask(id=name, chunk=chunk, description=_words(task), priority=task.priority, metadata=details))
    if not added:
        return Mutation(kind="none", why=found.objective)
    before = tuple(task.id for task in open_tasks(plan, chunk) if task.metadata.is_fix)
    return Mutation(kind="fix", added=tuple(added), superseded=before, why=found.objective)


async def replan(
    step: Step,
    crew: RunCrew,
    backend: str,
    *,
    goal: str,
    plan: ProjectPlan,
    chunk: str,
    assessment: ApproachAssessment,
    token: str,
    max_output_tokens: int,
) -> Mutation:
    """Another approach by a model: which tasks are superseded, and what takes their place."""
    request = ModelRequest(
        backend=backend,
        instructions=resources.files("bessemer.configs").joinpath("prompts/replan.md").read_text(encoding="utf-8"),
        prompt=_prompt(goal, plan, chunk, assessment, token),
        output_schema=ReplanAnswer.model_json_schema(),
        output_name="replan",
        max_output_tokens=max_output_tokens,
    )
    asked = await ask_checked(
        crew.journal(step, purpose="replan"), request, lambda data: _read_replan(data, plan, chunk)
    )
    return asked.value or Mutation(kind="none", why=f"no new plan: {asked.why}")


def _read_replan(data: Any, plan: ProjectPlan, chunk: str) -> Read[Mutation]:
    try:
        answer = ReplanAnswer.model_validate(data)
    except ValidationError as error:
        return Read(None, field_errors(error))
    known = plan.by_id()
    order = chunks_in_order(plan.tasks)
    earlier = set(order[: order.index(chunk)]) if chunk in order else set()
    problems = [f"superseded: there is no task {name!r}" for name in answer.superseded if name not in known]
    problems += [
        f"superseded: {name} is in the finished chunk {known[name].chunk!r}"
        for name in answer.superseded
        if name in known and known[name].chunk in earlier
    ]
    problems += [
        f"{task.id}: is the id of a task that exists; give a new one" for task in answer.tasks if task.id in known
    ]
    problems += [f"{task.id}.chunk: {task.chunk!r} is finished" for task in answer.tasks if task.chunk in earlier]
    if not any(task.chunk == chunk for task in answer.tasks):
        problems.append(f"tasks: none is in {chunk!r}; say what is done next there")
    items = [task.as_item() for task in answer.tasks]
    kept = [task.model_dump(mode="json") for task in plan.tasks]
    problems += [str(one) for one in check_plan({"tasks": [*kept, *items]}).problems if not problems]
    if problems:
        return Read(None, problems)
    added = tuple(PlanTask.model_validate(item) for item in items)
    return Read(Mutation(kind="replan", added=added, superseded=tuple(answer.superseded), why=answer.assessment))


def _prompt(goal: str, plan: ProjectPlan, chunk: str, assessment: ApproachAssessment, token: str) -> str:
    document, judged = plan.model_dump_json(indent=1), assessment.model_dump_json(indent=1)
    fence = Fence(token, [goal, document, judged])
    return headed(
        {
            "The goal": fence.around("task", goal),
            "The plan": fence.around("plan", document),
            "The chunk that has reached its ceiling": chunk,
            "What was found": fence.around("assessment", judged),
        }
    )


def _words(task: Task) -> str:
    return f"{task.description} {task.implementation_guidance}".strip()


def _new_id(known: set[str], wanted: str) -> str:
    number, name = 1, wanted
    while name in known:
        number, name = number + 1, f"{wanted}.{number}"
    return name
