"""Whole nights on the session's cluster: what ends how, what stops them, and what is left in the morning."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.queue._night import CALL, CALLS, Night, records

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def until(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def test_a_bad_task_does_not_stop_the_rest_and_the_report_tells_all(night: Night) -> None:
    good, poor = night.add("good one", "poor one")
    (late,) = night.add("good too", flags=("--priority", "3", "--cost-budget", "0.001"))
    told = records(night.run("--parallel", "1"), 3)
    assert next(one["task"] for one in told if one["event"] == "task_started") == late, "the highest priority first"
    assert night.states == {good: "done", poor: "failed", late: "blocked"}
    rows = night.tasks
    assert "bessemer budget set run:" in rows[late].reason
    assert (rows[good].charged, rows[late].charged) == (2 * CALL, CALL)
    assert (told[-1]["why"], told[-1]["used"]) == ("empty", night.ledger.queue("default").used)
    report = json.loads(Path(told[-1]["report"]).read_text())
    assert [one["state"] for one in report["tasks"]] == ["blocked", "failed", "done"]
    assert report["tasks"][-1]["measures"][0]["better"] is True
    page = Path(told[-1]["report"]).with_suffix(".html").read_text()
    assert "good one" in page
    night.told("budget", "set", f"run:{late}", "1")
    night.told("queue", "resume", late[:-3])
    records(night.run(), 0)
    assert night.states[late] == "done"
    for task in (good, late):
        night.bought_once(task)
    night.told("run", "export", good, "--to", "out")
    assert (night.root / "out" / "answer.txt").read_text() == "good\n"


@pytest.mark.long
def test_a_task_is_recorded_where_it_was_asked_for_and_no_other_is(night: Night) -> None:
    (recorded,) = night.add("good one", flags=("--record", "recording"))
    (plain,) = night.add("good two")
    records(night.run("--parallel", "2"), 0)
    assert night.states == {recorded: "done", plain: "done"}
    lines = [line for path in (night.root / "recording").glob("??/*.jsonl") for line in path.read_text().splitlines()]
    assert [json.loads(line)["run"] for line in lines] == [recorded] * CALLS
    for task in (recorded, plain):
        night.bought_once(task)


@pytest.mark.long
def test_the_cap_of_the_queue_holds_in_the_middle_and_a_raised_one_goes_on(night: Night) -> None:
    tasks = night.add("good 1", "good 2", "good 3")
    told = records(night.run("--parallel", "2", "--cost-budget", "0.005"), 4)
    assert told[-1]["why"] == "budget"
    assert night.ledger.queue("default").used <= 5 * CALL
    assert sorted(night.states.values()) == ["done", "done", "queued"], "what was refused goes on another night"
    assert "queue default has used" in night.told("queue", "run", "--json", code=4)
    records(night.run("--cost-budget", "1"), 0)
    assert set(night.states.values()) == {"done"}
    assert night.ledger.queue("default").used == len(tasks) * 2 * CALL
    for task in tasks:
        night.bought_once(task)


@pytest.mark.long
def test_a_second_runner_is_refused_and_a_stop_ends_runs_at_their_next_step(night: Night) -> None:
    first, second, third = night.add("slow 1", "slow 2", "slow 3")
    runner = night.run("--parallel", "2")
    until(lambda: list(night.states.values()).count("running") == 2, "two run")
    refused = records(night.run(), 5)
    assert refused[-1]["error"] == "QueueIsOpen"
    until(lambda: len(night.ledger.attempts(first)) == 1, "the first call is out")
    night.told("queue", "stop")
    told = records(runner, 130)
    assert told[-1]["why"] == "stopped"
    assert night.states[third] == "queued"
    assert "queued" in (night.states[first], night.states[second]), "a run ended between two of its steps"
    assert {one.state for task in (first, second) for one in night.ledger.attempts(task)} == {"settled"}
    assert "bessemer queue resume" in night.told("queue", "run", code=2)
    night.told("queue", "resume")
    records(night.run("--parallel", "3"), 0)
    for task in (first, second, third):
        night.bought_once(task)
        assert len(night.ledger.attempts(task)) == 2, "nothing was lost by stopping"


@pytest.mark.long
def test_a_stop_file_and_a_deadline_are_boundaries_too(night: Night) -> None:
    night.add("slow 1", "slow 2")
    runner = night.run("--parallel", "1")
    until(lambda: "running" in night.states.values(), "one runs")
    stop = night.root / ".bessemer" / "queue" / "STOP"
    stop.parent.mkdir(exist_ok=True)
    stop.touch()
    records(runner, 130)
    assert str(stop) in night.told("queue", "run", code=2)
    night.told("queue", "resume")
    assert not stop.exists()
    night.add(*(f"slow {number}" for number in range(3, 13)))
    moment = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    told = records(night.run("--parallel", "1", "--until", moment), 3)
    assert told[-1]["why"] == "until"
    assert "running" not in night.states.values()


@pytest.mark.long
def test_a_cancelled_run_is_a_cancelled_task_and_a_detached_one_can_be_followed(night: Night) -> None:
    first, second = night.add("slow 1", "slow 2")
    runner = night.run("--parallel", "2")
    until(lambda: night.ledger.runs() and len(night.ledger.attempts(first)) == 1, "the first is at work")
    follower = night.command("run", "attach", second, "--json")
    cancelled = night.command("run", "cancel", first)
    assert cancelled.wait(timeout=120) == 0
    told = records(runner, 0)
    assert night.states == {first: "cancelled", second: "done"}
    assert told[-1]["counts"] == {"cancelled": 1, "done": 1}
    followed = records(follower, 0)
    assert (followed[-1]["run"], followed[-1]["ending"]) == (second, "converged")
    again = subprocess.run(
        [*night.base_command(), "run", "attach", second, "--json"], cwd=night.root, capture_output=True, text=True
    )
    assert json.loads(again.stdout)["ending"] == "converged", "one that has ended is shown"
