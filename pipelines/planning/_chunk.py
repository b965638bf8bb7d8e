"""A chunk of a plan as a refinement: its task, its criteria, and which of its tasks are left."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bessemer.actors.judging.types import Category, CriteriaSet, Criterion
from bessemer.cluster.canonical import content_hash
from bessemer.pipelines.planning._documents import PlanTask, ProjectPlan
from bessemer.pipelines.planning._graph import chunks_in_order, in_order

MAX_CRITERIA = 12


def next_chunk(plan: ProjectPlan) -> str:
    """The first chunk with work left; empty where there is none."""
    left = {task.chunk for task in plan.tasks if not task.ended}
    return next((chunk for chunk in chunks_in_order(plan.tasks) if chunk in left), "")


def open_tasks(plan: ProjectPlan, chunk: str) -> list[PlanTask]:
    """What is left of a chunk, in the order it can be done."""
    known = plan.by_id()
    return [task for name in in_order(plan.tasks) if (task := known[name]).chunk == chunk and not task.ended]


def wants_evaluation(tasks: Sequence[PlanTask]) -> bool:
    """Whether the work is judged as a whole after these: at a checkpoint, and after anything exploratory."""
    return any(task.metadata.eval_checkpoint or task.task_type == "exploratory" for task in tasks)


def chunk_task(goal: str, plan: ProjectPlan, chunk: str, tasks: Sequence[PlanTask]) -> str:
    """What a builder is told: the goal, what is there already, and these tasks alone."""
    done = [task for task in plan.tasks if task.status in ("completed", "verified")]
    later = [name for name in chunks_in_order(plan.tasks) if name != chunk]
    later = later[[*chunks_in_order(plan.tasks)].index(chunk) :] if chunk in chunks_in_order(plan.tasks) else later
    lines = [f"Carry out chunk {chunk} of a plan. The goal of the whole plan: {goal}", "", "Tasks, in this order:"]
    for task in tasks:
        lines.append(f"- {task.id} ({task.task_type}, {task.priority}): {task.description}")
        method = f" ({task.metadata.verification_method})" if task.metadata.verification_method else ""
        lines.append(f"  Done when: {task.metadata.verification}{method}")
        if task.status == "in_progress":
            lines.append("  Begun before: some of it may be in the work already.")
        lines += [f"  Good when: {one}" for one in task.success_criteria]
    if done:
        lines += ["", "Done before, to build on: " + "; ".join(f"{one.id} {one.description}" for one in done)]
    if later:
        lines += ["", f"Leave to later chunks what is theirs: {', '.join(later)}."]
    return "\n".join(lines)


def chunk_criteria(tasks: Sequence[PlanTask]) -> CriteriaSet:
    """One must for each task's verification, one should for each success criterion; what is too many is joined."""
    musts = [(f"{task.id}: {task.metadata.verification}", task.metadata.verification_method) for task in tasks]
    shoulds = [(f"{task.id}: {one}", "") for task in tasks for one in task.success_criteria]
    room = MAX_CRITERIA - min(len(shoulds), MAX_CRITERIA // 2)
    rows: list[tuple[str, str, Category]] = [(*one, "must") for one in _joined(musts, room)]
    rows += [(*one, "should") for one in _joined(shoulds, MAX_CRITERIA - len(rows))]
    criteria = tuple(
        Criterion(id=f"E{number}", text=text, verify_by=method, category=category)
        for number, (text, method, category) in enumerate(rows, start=1)
    )
    return CriteriaSet(source="written", criteria=criteria)


def _joined(rows: Sequence[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """At most `room` rows: those over it become one."""
    if len(rows) <= room or room < 1:
        return list(rows[: max(room, 0)])
    over = rows[room - 1 :]
    methods = "; ".join(method for _, method in over if method)
    return [*rows[: room - 1], (" Also: ".join(text for text, _ in over), methods)]


def slug(chunk: str) -> str:
    """A chunk's label as part of a path, its own for every label."""
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "-", chunk).strip(".-")[:60]
    return clean if clean == chunk else f"{clean or 'chunk'}-{content_hash(chunk)[:8]}"
