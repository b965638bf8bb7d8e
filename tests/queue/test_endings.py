"""What the end of a run means for its task, and what the report makes of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.errors import (
    BessemerError,
    Cancelled,
    ClusterError,
    DeadlineExceeded,
    MissingKey,
    RunDiverged,
    RunIsOpen,
)
from bessemer.cluster.ledger import AddTasks, ClaimTasks, LeaveTask, Ledger, NewTask, OpenQueue
from bessemer.interfaces.queue import QueueEnd, html_page, make_report, markdown_page
from bessemer.interfaces.queue._endings import left_by_error, left_by_outcome
from bessemer.interfaces.queue._runner import Boundary
from bessemer.pipelines._base import ENDINGS, Ending
from bessemer.pipelines.refine import RefineOutcome
from tests.ledger._make import Clock, one

EXPECTED = {
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


def ended(ending: Ending, **more: Any) -> RefineOutcome:
    return RefineOutcome(run="q-1", ending=ending, explanation="so it was", **more)


def probe(status: Any, passed: int, total: int, **more: Any) -> ProbeResult:
    return ProbeResult(probe="pytest", status=status, summary="", passed=passed, total=total, **more)


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_every_ending_has_a_state(ending: Ending) -> None:
    left = left_by_outcome(ended(ending), stopping=False)
    assert left.state == EXPECTED[ending]
    assert bool(left.degraded) == (ending == "not_judged")
    assert "so it was" in left.reason


@pytest.mark.parametrize(
    ("scope", "state", "shared"),
    [
        ("run:q-1", "blocked", ""),
        ("account:a", "blocked", ""),
        ("queue:q", "queued", "budget"),
        ("day:2026-11-21", "queued", "budget"),
    ],
)
def test_a_cap_that_all_share_sends_a_task_back(scope: str, state: str, shared: str) -> None:
    left = left_by_outcome(ended("budget", refused_by=scope), stopping=False)
    assert (left.state, left.shared, left.counts) == (state, shared, not shared)


def test_what_the_queue_stopped_goes_back_and_what_a_person_stopped_does_not() -> None:
    assert left_by_outcome(ended("cancelled"), stopping=True).state == "queued"
    assert left_by_error(Cancelled("stopped"), 0, 3, stopping=True).state == "queued"
    assert left_by_error(Cancelled("stopped"), 0, 3).state == "cancelled"
    assert left_by_outcome(ended("converged"), stopping=True).state == "done"


@pytest.mark.parametrize(
    ("error", "states"),
    [
        (MissingKey("no key"), ["blocked"] * 3),
        (RunDiverged("other code"), ["blocked"] * 3),
        (DeadlineExceeded("late"), ["blocked"] * 3),
        (ClusterError("gone"), ["queued", "queued", "failed"]),
        (RunIsOpen("held"), ["queued", "queued", "failed"]),
    ],
)
def test_errors_are_tried_again_only_where_that_may_help(error: BessemerError, states: list[str]) -> None:
    lefts = [left_by_error(error, tries, 3) for tries in range(3)]
    assert [left.state for left in lefts] == states
    assert all(bool(left.degraded) == left.infrastructure == ("queued" in states) for left in lefts)
    pauses = [left.again_after for left in lefts if left.state == "queued"]
    assert pauses == sorted(pauses)


@pytest.mark.parametrize(
    ("why", "states", "infrastructure", "waiting", "code"),
    [
        ("empty", {"done": 3}, 0, 0, 0),
        ("empty", {"done": 3, "cancelled": 1}, 0, 0, 0),
        ("empty", {"done": 1, "failed": 1}, 0, 0, 1),
        ("empty", {"failed": 1, "blocked": 1}, 0, 0, 3),
        ("empty", {"failed": 1, "blocked": 1}, 1, 0, 5),
        ("until", {"done": 1}, 0, 2, 3),
        ("until", {"done": 1}, 0, 0, 0),
        ("budget", {"failed": 1}, 1, 2, 4),
        ("stopped", {"failed": 1}, 1, 2, 130),
        ("interrupted", {}, 0, 2, 130),
    ],
)
def test_exit_codes(why: Any, states: dict[str, int], infrastructure: int, waiting: int, code: int) -> None:
    from collections import Counter

    assert QueueEnd(why, Counter(states), infrastructure, waiting).exit_code == code


HOSTILE = '<script>alert(1)</script> | `x` "quoted" \x1b[31m'


def test_the_pages_say_what_happened_and_trust_no_text(tmp_path: Path) -> None:
    clock = Clock()
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock, durable=False) as ledger:
        tasks = tuple(
            NewTask(key=str(n), digest="d", title=f"{HOSTILE} {n}", priority=1, spec={"budget": 5000}) for n in range(4)
        )
        ids = one(ledger, AddTasks(queue="q", tasks=tasks)).tasks
        epoch = one(ledger, OpenQueue(queue="q", owner="a")).epoch
        one(ledger, ClaimTasks(queue="q", epoch=epoch, limit=3))
        outcome = ended(
            "converged",
            before=(probe("failed", 1, 2),),
            after=(probe("passed", 3, 3),),
            result="/r",
            changed_files=("a",),
        )
        for task, left in zip(
            ids,
            [
                left_by_outcome(outcome, stopping=False),
                left_by_outcome(ended("not_judged"), stopping=False),
                left_by_error(ClusterError(HOSTILE), 2, 3),
            ],
            strict=False,
        ):
            given = {"state": left.state, "reason": left.reason, "result": left.result, "degraded": left.degraded}
            one(ledger, LeaveTask(queue="q", epoch=epoch, task=task, **given))
        report = make_report(ledger, "q")
    assert [task.state for task in report.tasks] == ["blocked", "failed", "done", "queued"]
    assert len(report.degraded) == 2
    (measure,) = report.tasks[2].measures
    assert (measure.before, measure.after, measure.better) == ("1 of 2", "3 of 3", True)
    assert report.tasks[2].export == f"bessemer run export {ids[0]} --to {ids[0]}"
    page, text = html_page(report), markdown_page(report)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.index("Degraded.") < page.index("<h1>")
    assert text.index("**Degraded.**") < text.index("## Waits for you")
    assert "<script" not in text.replace("\\<", "")
    assert "\x1b" not in text + page
    for task in ids:
        assert task in text


def test_a_reason_that_ends_runs_comes_after_one_that_lets_them_go_on() -> None:
    boundary = Boundary()
    assert boundary.set("budget")
    assert (boundary.why, boundary.stop_by) == ("budget", 0.0)
    assert not boundary.set("empty")
    assert boundary.set("interrupted", 60.0)
    assert boundary.stop_by > 0
    assert not boundary.set("until", 60.0)
    assert boundary.why == "interrupted"
