"""kill -9 of the runner and of the run host: every task ends once, and nothing is bought twice."""

from __future__ import annotations

import random
import time

import pytest

from tests.crash._world import kill
from tests.queue._night import Night, records

SEED = 20261121
KILLS = 4
TASKS = 6

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(900)]


def test_a_killed_night_goes_on_where_it_was(night: Night) -> None:
    tasks = night.add(*(f"slow {number}" for number in range(TASKS)))
    generator = random.Random(SEED)
    victims = ["runner", "run/"] * (KILLS // 2)
    generator.shuffle(victims)
    runner = night.run("--parallel", "4")
    kills = []
    deadline = time.monotonic() + 400
    for victim in victims:
        time.sleep(generator.uniform(1.0, 6.0))
        while runner.poll() is None and "running" not in night.states.values():
            assert time.monotonic() < deadline, "no task gets under way"
            time.sleep(0.2)
        if runner.poll() is not None:
            break
        if victim == "runner":
            runner.kill()
            runner.wait()
            kills.append(victim)
            runner = night.run("--parallel", "4")
        elif kill(run_host(night)):
            kills.append(victim)
    told = records(runner, 0, 400)
    assert {"runner", "run/"} <= set(kills), kills
    assert night.states == dict.fromkeys(tasks, "done")
    assert {row.tries for row in night.tasks.values()} == {1}
    ended = [one["task"] for one in told if one["event"] == "task_ended"]
    assert len(ended) == len(set(ended))
    for task in tasks:
        night.bought_once(task)
    with night.ledger as ledger:
        assert ledger.queue("default").used == sum(ledger.run(task).charged for task in tasks)


def run_host(night: Night) -> int:
    """Process id of the run host, once it answers: a busy one takes its time."""
    deadline = time.monotonic() + 90
    while True:
        found = [pid for name, pid in night.hosts().items() if name.startswith("run/")]
        if found:
            return found[0]
        assert time.monotonic() < deadline, "the run host does not answer"
