"""How a task is left: what its run's end means for the queue."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.errors import BessemerError, Cancelled, InconclusiveError, LedgerRefusal, UsageError
from bessemer.cluster.ledger import TaskState
from bessemer.pipelines.refine import RefineOutcome

Shared = Literal["", "budget"]

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds until a task whose run broke off is tried again; doubled each time."""
FULL_PAUSE = 10.0
"""Seconds until a run is offered again to a host that had no room for it."""


class Left(NamedTuple):
    """What becomes of a task when its run has ended."""

    state: TaskState
    reason: str
    result: dict[str, Any]
    degraded: str = ""
    again_after: float = 0.0
    counts: bool = True
    shared: Shared = ""
    """`budget` where a cap refused that other tasks count against too."""
    infrastructure: bool = False


STATE_OF: dict[str, TaskState] = {
    "converged": "done",
    "passed": "done",
    "decided": "done",
    "forced": "done",
    "failed": "failed",
    "max_rounds": "failed",
    "plateau": "failed",
    "not_judged": "blocked",
    "deadline": "blocked",
    "budget": "blocked",
    "cancelled": "cancelled",
}


def left_by_outcome(outcome: RefineOutcome, *, stopping: bool) -> Left:
    """`stopping` says that the queue itself asked the run to stop."""
    result = summary(outcome)
    degraded = _unjudged(outcome)
    if outcome.ending == "cancelled" and stopping:
        return Left("queued", "stopped with the queue; it goes on where it was", result, counts=False)
    if outcome.ending == "budget" and outcome.refused_by.partition(":")[0] in ("queue", "day"):
        return Left("queued", outcome.explanation, result, degraded, counts=False, shared="budget")
    return Left(STATE_OF[outcome.ending], _said(outcome), result, degraded)


def _said(outcome: RefineOutcome) -> str:
    remedy = {
        "deadline": f"; give it more: bessemer run resume {outcome.run}",
        "budget": f"; raise it: bessemer budget set {outcome.refused_by} USD",
        "not_judged": "; name a probe or a judge for it",
    }.get(outcome.ending, "")
    return f"{outcome.ending}: {outcome.explanation}{remedy}"


def _unjudged(outcome: RefineOutcome) -> str:
    rounds = [one.number for one in outcome.rounds if one.verdict == "not_judged"]
    if rounds:
        return f"round {', '.join(map(str, rounds))} ran without its judges"
    return "nothing judged it" if outcome.ending == "not_judged" else ""


def left_by_error(error: BessemerError, tries: int, most: int, *, stopping: bool = False) -> Left:
    """`tries` were made before this one; after `most` a task is not tried again."""
    result = {"error": type(error).__name__}
    said = f"{type(error).__name__}: {error.message}"
    if isinstance(error, Cancelled):
        if stopping:
            return Left("queued", "stopped with the queue; it goes on where it was", result, counts=False)
        return Left("cancelled", said, result)
    if error.exit_code == 4:
        return Left("blocked", said, result)
    if isinstance(error, UsageError | InconclusiveError) or (isinstance(error, LedgerRefusal) and error.exit_code == 2):
        return Left("blocked", said, result)
    if tries + 1 < most:
        pause = min(FIRST_PAUSE * 2.0**tries, LONGEST_PAUSE)
        return Left("queued", said, result, degraded=said, again_after=pause, infrastructure=True)
    return Left("failed", f"{said} (tried {tries + 1} times)", result, degraded=said, infrastructure=True)


def summary(outcome: RefineOutcome) -> dict[str, Any]:
    """What the report says of a run, as JSON. Micro-dollars."""
    return {
        "ending": outcome.ending,
        "exit_code": outcome.exit_code,
        "explanation": outcome.explanation,
        "seconds": outcome.seconds,
        "cost": outcome.cost,
        "in_doubt": outcome.in_doubt,
        "calls": outcome.calls,
        "rounds": len(outcome.rounds),
        "scores": outcome.rounds[-1].scores if outcome.rounds else {},
        "before": [_measure(one) for one in outcome.before],
        "after": [_measure(one) for one in outcome.after],
        "changed_files": len(outcome.changed_files),
        "has_result": bool(outcome.result),
        "not_verified": list(outcome.not_verified),
    }


def _measure(probe: ProbeResult) -> dict[str, Any]:
    return {
        "probe": probe.probe,
        "status": probe.status,
        "passed": probe.passed,
        "total": probe.total,
        "measure": probe.measure,
        "better": probe.better,
        "summary": probe.summary,
    }
