"""What a person reads in the morning, as data: what ran, how it ended, what it cost, and what waits for a decision."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bessemer.cluster.ledger import Ledger, QueueRow, TaskRow, TaskState

REPORT_VERSION = 1

Need = Literal["", "result", "decision"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measure(_Frozen):
    """One probe before and after."""

    probe: str
    before: str
    after: str
    better: bool | None
    """None where nothing changed or the two cannot be compared."""


class ReportedTask(_Frozen):
    """One task. Micro-dollars and seconds."""

    task: str
    run: str
    title: str
    state: TaskState
    priority: float
    ending: str
    reason: str
    degraded: str
    unacknowledged: bool
    """Whether it was degraded since that was last acknowledged."""
    cost: int
    in_doubt: int
    budget: int | None
    seconds: float
    rounds: int
    tries: int
    changed_files: int
    scores: dict[str, int]
    measures: tuple[Measure, ...]
    started_at: datetime | None
    ended_at: datetime | None
    export: str
    """A command that gets the result out; empty where there is none."""
    commands: tuple[str, ...]
    """What a person may do next."""


class Report(_Frozen):
    """A queue as it stands. Micro-dollars."""

    version: int = REPORT_VERSION
    queue: str
    made_at: datetime
    counts: dict[TaskState, int]
    budget: int | None
    used: int
    in_doubt: int
    stopped: bool
    degraded: tuple[str, ...]
    """Why results must not be trusted as they stand, until a person acknowledges it."""
    tasks: tuple[ReportedTask, ...]

    @property
    def decisions(self) -> tuple[ReportedTask, ...]:
        """Tasks that wait for a person."""
        return tuple(one for one in self.tasks if one.state == "blocked")


def make_report(ledger: Ledger, queue: str, now: datetime | None = None) -> Report:
    """The report of a queue. Raises UsageError where there is none of that name."""
    row = ledger.queue(queue)
    tasks = tuple(_reported(one, row) for one in ledger.tasks(queue))
    order: dict[TaskState, int] = {"blocked": 0, "failed": 1, "running": 2, "done": 3, "cancelled": 4, "queued": 5}
    return Report(
        queue=queue,
        made_at=now or datetime.now(UTC),
        counts=dict(Counter(one.state for one in tasks)),
        budget=row.cap,
        used=row.used,
        in_doubt=row.in_doubt,
        stopped=row.stopped,
        degraded=tuple(f"{one.task}: {one.degraded}" for one in tasks if one.unacknowledged),
        tasks=tuple(sorted(tasks, key=lambda one: order[one.state])),
    )


def _reported(task: TaskRow, queue: QueueRow) -> ReportedTask:
    result = task.result
    seen = queue.acknowledged_at
    has_result = bool(result.get("has_result")) and task.state != "queued"
    return ReportedTask(
        task=task.task,
        run=task.run,
        title=task.title,
        state=task.state,
        priority=task.priority,
        ending=str(result.get("ending") or result.get("error") or ""),
        reason=task.reason,
        degraded=task.degraded,
        unacknowledged=task.degraded_at is not None and (seen is None or task.degraded_at > seen),
        cost=task.charged,
        in_doubt=task.in_doubt,
        budget=task.spec.get("budget"),
        seconds=float(result.get("seconds", 0.0)),
        rounds=int(result.get("rounds", 0)),
        tries=task.tries,
        changed_files=int(result.get("changed_files", 0)),
        scores=result.get("scores", {}),
        measures=_measures(result.get("before", []), result.get("after", [])),
        started_at=task.started_at,
        ended_at=task.ended_at,
        export=f"bessemer run export {task.run} --to {task.run}" if has_result else "",
        commands=_commands(task, has_result),
    )


def _commands(task: TaskRow, has_result: bool) -> tuple[str, ...]:
    found = []
    if task.started_at is not None:
        found.append(f"bessemer run show {task.run}")
    if has_result:
        found.append(f"bessemer run export {task.run} --to {task.run}")
    if task.state in ("blocked", "failed", "cancelled"):
        found.append(f"bessemer queue resume --queue {task.queue} {task.task}")
    if task.result.get("error") == "RunDiverged":
        found.append(f"bessemer run fork {task.run}")
    return tuple(found)


def _measures(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> tuple[Measure, ...]:
    then = {one["probe"]: one for one in before}
    now = {one["probe"]: one for one in after}
    return tuple(
        Measure(
            probe=probe,
            before=_words(then.get(probe)),
            after=_words(now.get(probe)),
            better=_better(then.get(probe), now.get(probe)),
        )
        for probe in dict.fromkeys([*then, *now])
    )


def _words(probe: dict[str, Any] | None) -> str:
    if probe is None:
        return "-"
    if probe["total"]:
        return f"{probe['passed']} of {probe['total']}"
    return str(probe["status"]) if probe["measure"] is None else f"{probe['measure']:g}"


def _better(before: dict[str, Any] | None, after: dict[str, Any] | None) -> bool | None:
    if before is None or after is None:
        return None
    if before["total"] and after["total"]:
        # A share, because a builder may add tests.
        one, other = before["passed"] * after["total"], after["passed"] * before["total"]
        return None if one == other else other > one
    if before["measure"] is not None and after["measure"] is not None and before["measure"] != after["measure"]:
        return bool((after["measure"] < before["measure"]) == (after["better"] == "lower"))
    ranks = {"passed": 1, "failed": 0}
    if before["status"] in ranks and after["status"] in ranks and before["status"] != after["status"]:
        return ranks[after["status"]] > ranks[before["status"]]
    return None
