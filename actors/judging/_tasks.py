"""Tasks for the next round: checked for meaning, made from probe findings, ordered as the ceiling asks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from bessemer.actors.judging.types import (
    CriteriaSet,
    Impact,
    NextTasks,
    SuccessContract,
    Task,
    TaskMetadata,
)
from bessemer.actors.probes.base import ProbeFinding, ProbeResult
from bessemer.cluster.canonical import content_hash

MAX_TASKS = 64
_SEVERITY = {"blocker": 0, "major": 1, "minor": 2, "info": 3}
_SAFE = re.compile(r"[^A-Za-z0-9]+")
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


class FieldError(NamedTuple):
    """One thing that is wrong with structured work, and where: `fix_tasks[1].depends_on`."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


def check_next_tasks(next_tasks: NextTasks, criteria: CriteriaSet) -> list[FieldError]:
    """What a schema cannot say: unique ids, dependencies that exist and end, known criteria, evolution, ambition.

    Returns every problem, in the order of the fields; empty where there is none.
    """
    named = [
        *((f"fix_tasks[{n}]", task, "fix") for n, task in enumerate(next_tasks.fix_tasks)),
        *((f"evolution_tasks[{n}]", task, "evolution") for n, task in enumerate(next_tasks.evolution_tasks)),
    ]
    ids = {task.id for _, task, _ in named}
    first: dict[str, str] = {}
    errors: list[FieldError] = []
    for where, task, list_of in named:
        if task.id in first:
            errors.append(FieldError(f"{where}.id", f"{task.id!r} is also the id of {first[task.id]}"))
        first.setdefault(task.id, where)
        errors += _task_errors(where, task, list_of, ids, criteria)
    if cycle := _cycle([task for _, task, _ in named]):
        errors.append(FieldError("depends_on", f"goes in a circle: {' -> '.join(cycle)}"))
    return errors + _strategy_errors(next_tasks)


def _task_errors(where: str, task: Task, list_of: str, ids: set[str], criteria: CriteriaSet) -> list[FieldError]:
    errors = []
    if not _ID.match(task.id):
        errors.append(FieldError(f"{where}.id", f"{task.id!r} is not letters, digits, `.`, `_` and `-`, at most 64"))
    if task.task_category != list_of:
        errors.append(FieldError(f"{where}.task_category", f"is {task.task_category!r} in the list of {list_of} tasks"))
    if not task.description.strip():
        errors.append(FieldError(f"{where}.description", "is empty"))
    for other in task.depends_on:
        if other == task.id:
            errors.append(FieldError(f"{where}.depends_on", f"names the task {other!r} itself"))
        elif other not in ids:
            errors.append(FieldError(f"{where}.depends_on", f"names {other!r}, which is no task"))
    unknown = [one for one in task.metadata.relates_to if one not in criteria.by_id()]
    if unknown:
        known = ", ".join(criteria.by_id())
        errors.append(FieldError(f"{where}.metadata.relates_to", f"names {', '.join(unknown)}; criteria are {known}"))
    if any(path.startswith(("/", "~")) or ".." in path.split("/") for path in task.files):
        errors.append(FieldError(f"{where}.files", "names a path outside the deliverable; use relative paths in it"))
    return errors


def _strategy_errors(next_tasks: NextTasks) -> list[FieldError]:
    tasks = all_tasks(next_tasks)
    errors = []
    if not tasks:
        return [FieldError("fix_tasks", "is empty, and so is evolution_tasks; give at least one task")]
    if len(tasks) > MAX_TASKS:
        errors.append(FieldError("fix_tasks", f"with evolution_tasks has {len(tasks)} tasks; give at most {MAX_TASKS}"))
    if not next_tasks.evolution_tasks:
        errors.append(FieldError("evolution_tasks", "is empty; give one or two ideas beyond repair"))
    shifts = any(task.strategy_role == "thesis_shift" for task in tasks)
    if next_tasks.strategy_mode == "thesis_shift" and not shifts:
        errors.append(FieldError("strategy_mode", "is thesis_shift, but no task has the role thesis_shift"))
    if next_tasks.incremental_override_reason.strip():
        return errors
    near = next_tasks.approach_assessment.ceiling_status != "ceiling_not_reached"
    if near and next_tasks.strategy_mode == "incremental_refinement":
        problem = "is empty although the ceiling is near; say why refining goes on, or shift the thesis"
        errors.append(FieldError("incremental_override_reason", problem))
    elif gate(tasks).kind == "only_incremental":
        problem = "is empty although every task is incremental; say why, or plan a structural task"
        errors.append(FieldError("incremental_override_reason", problem))
    return errors


def _cycle(tasks: Sequence[Task]) -> list[str]:
    """Ids of a circle of dependencies, its first repeated at the end; empty if there is none."""
    needs = {task.id: [other for other in task.depends_on if other != task.id] for task in tasks}
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        found = _walk(start, needs, done, trail)
        if found:
            return found
    return []


def _walk(at: str, needs: Mapping[str, Sequence[str]], done: set[str], trail: list[str]) -> list[str]:
    if at in trail:
        return [*trail[trail.index(at) :], at]
    if at in done or at not in needs:
        return []
    trail.append(at)
    for other in needs[at]:
        found = _walk(other, needs, done, trail)
        if found:
            return found
    trail.pop()
    done.add(at)
    return []


class MaterialGate(NamedTuple):
    """Which kinds of change are planned, and whether any of them can move the result materially."""

    kind: Literal["material", "only_incremental", "empty"]
    counts: dict[Impact, int]
    message: str


def gate(tasks: Sequence[Task]) -> MaterialGate:
    """The material-improvement gate: with only incremental changes left, the approach may need to change."""
    counts: dict[Impact, int] = {"transformative": 0, "structural": 0, "incremental": 0}
    for task in tasks:
        counts[task.metadata.impact] += 1
    if not tasks:
        return MaterialGate("empty", counts, "nothing is planned")
    if counts["transformative"] + counts["structural"]:
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        return MaterialGate("material", counts, f"planned changes: {said}")
    words = (
        f"only incremental changes remain ({counts['incremental']}); the approach may need to change, not the polish"
    )
    return MaterialGate("only_incremental", counts, words)


class Route(NamedTuple):
    """A round's tasks in order, and whether the user must be told that the ceiling is reached."""

    tasks: list[Task]
    ceiling_reached: bool


def route(next_tasks: NextTasks) -> Route:
    """Fix tasks, then evolution; with the ceiling reached evolution first. Dependencies come before what needs them."""
    reached = next_tasks.approach_assessment.ceiling_status == "ceiling_reached"
    fixes, evolution = by_priority(next_tasks.fix_tasks), by_priority(next_tasks.evolution_tasks)
    return Route(_after_needs([*evolution, *fixes] if reached else [*fixes, *evolution]), reached)


def all_tasks(next_tasks: NextTasks) -> list[Task]:
    """The flat union that `next_tasks.json` carries as `tasks`, in routed order where dependencies allow one."""
    return route(next_tasks).tasks


def by_priority(tasks: Sequence[Task]) -> list[Task]:
    order = {"high": 0, "medium": 1, "low": 2}
    return sorted(tasks, key=lambda task: order[task.priority])


def _after_needs(tasks: Sequence[Task]) -> list[Task]:
    rest, placed, ids = list(tasks), list[Task](), {task.id for task in tasks}
    while rest:
        have = {task.id for task in placed}
        # Where dependencies go in a circle nothing is ready; then the order given is as good as any.
        at = next((n for n, task in enumerate(rest) if set(task.depends_on) & ids <= have), 0)
        placed.append(rest.pop(at))
    return placed


def tasks_from_findings(
    probes: Sequence[ProbeResult],
    *,
    goal: str = "",
    criteria: CriteriaSet | None = None,
    attempts: Mapping[str, int] | None = None,
) -> NextTasks:
    """Tasks where no model may judge: one per finding of one kind in one file, those tried least first.

    Ids are the same whenever the same findings are. Evolution is planned only when no probe has anything to report.
    """
    tried = attempts or {}
    bound = {one.probe: one.id for one in criteria.criteria if one.probe} if criteria else {}
    fixes = [task for probe in probes for task in _fixes(probe, bound.get(probe.probe, ""))]
    fixes = (
        sorted(dict.fromkeys(fixes), key=lambda task: tried.get(task.id, 0)) if tried else list(dict.fromkeys(fixes))
    )
    evolution = () if fixes or not goal.strip() else (goal_task(goal, "evolution", criteria),)
    names = ", ".join(sorted({task.probe for task in fixes}))
    return NextTasks(
        objective=f"Remove what {names} reports" if fixes else (goal or "Nothing is left that a probe reports"),
        primary_strategy="one finding at a time, kept only where the measure improves",
        why_this_strategy="no judge named tasks; the probes say what is wrong and whether it was repaired",
        incremental_override_reason="findings of probes are repaired one by one",
        success_contract=SuccessContract(
            outcome_statement="every probe that judges the work passes",
            quality_bar="no probe measures less than before",
            fail_if_any=("a probe measures less than before",),
            required_evidence=("the probes' results after the change",),
        ),
        fix_tasks=tuple(fixes[:MAX_TASKS]),
        evolution_tasks=evolution,
    )


def goal_task(
    goal: str, category: Literal["fix", "evolution"] = "evolution", criteria: CriteriaSet | None = None
) -> Task:
    """The user's task as one task: the first round's where nothing was measured wrong."""
    return Task(
        id=f"goal-{content_hash(goal)[:8]}",
        task_category=category,
        strategy_role="thesis_shift",
        description=goal,
        priority="high",
        success_criteria="; ".join(one.text for one in criteria.criteria) if criteria else "",
        metadata=TaskMetadata(
            impact="structural", relates_to=tuple(one.id for one in criteria.criteria) if criteria else ()
        ),
    )


def _fixes(probe: ProbeResult, criterion: str) -> list[Task]:
    if probe.status in ("passed", "not_applicable", "unavailable"):
        return []
    groups: dict[tuple[str, str], list[ProbeFinding]] = {}
    for finding in sorted(probe.findings, key=lambda one: (_SEVERITY[one.severity], one.file, one.line, one.code)):
        if finding.severity != "info":
            groups.setdefault((finding.file, finding.code), []).append(finding)
    if groups:
        return [_fix(probe, file, code, found, criterion) for (file, code), found in groups.items()]
    # Without findings only what failed, or never came to an end, can be laid at the work's door.
    return [_fix(probe, "", "", [], criterion)] if probe.status in ("failed", "timeout") else []


def _fix(probe: ProbeResult, file: str, code: str, found: Sequence[ProbeFinding], criterion: str) -> Task:
    lines = [f"{one.file}:{one.line} {one.message}" if one.line else one.message for one in found]
    first = found[0] if found else None
    place = f" in {file}" if file else ""
    return Task(
        id=f"fix-{_SAFE.sub('-', probe.probe).strip('-')[:24]}-{content_hash([probe.probe, file, code])[:8]}",
        description=f"{probe.probe}{place}: {code or probe.summary}: {lines[0]}"
        if first
        else f"{probe.probe}: {probe.summary}",
        implementation_guidance="\n".join([*lines, first.detail if first else probe.evidence[-4000:]]).strip(),
        priority="high" if first is None or first.severity in ("blocker", "major") else "medium",
        verification=f"{probe.probe} no longer reports this and measures no less than before",
        success_criteria=f"{probe.probe} no longer reports {code or 'a failure'}{place}",
        failure_signals=(f"{probe.probe} measures less than before",),
        required_evidence=(f"the result of {probe.probe} after the change",),
        files=(file,) if file else (),
        probe=probe.probe,
        finding_codes=(code,) if code else (),
        metadata=TaskMetadata(relates_to=(criterion,) if criterion else ()),
    )
