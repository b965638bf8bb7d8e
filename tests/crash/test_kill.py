"""kill -9 of every process of a run, at random moments: the answer is the same and nothing is bought twice.

The seed is fixed, so that the order of victims is; the moments are as random as the machine is.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash._world import HOSTS, World, done, kill, lake_keys, launched, read_books, tree_of

KILLS = 30
SEED = 20261121
VICTIMS = ("driver", *HOSTS)
END_AFTER_SECONDS = 400.0

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.fixture
def world(short_tmp: Path, ray_cluster: str) -> Iterator[World]:
    made = World(short_tmp, ray_cluster, latency=0.3)
    yield made
    made.close()


def test_killed_runs_end_like_undisturbed_ones(world: World) -> None:
    calm = world.refine()
    quiet_run = launched(calm)
    undisturbed = done(calm)
    assert undisturbed.get("ending") == "converged", undisturbed
    generator = random.Random(SEED)
    kills: Counter[str] = Counter()
    runs = []
    while sum(kills.values()) < KILLS:
        run, outcome = _disturbed(world, generator, kills)
        runs.append(run)
        assert outcome["ending"] == undisturbed["ending"]
        assert tree_of(outcome) == tree_of(undisturbed)
        assert [one["scores"] for one in outcome["rounds"]] == [one["scores"] for one in undisturbed["rounds"]]
    assert set(kills) >= {"driver", "run/", "ledger", "backend/", "builder/"}, kills
    for run in [quiet_run, *runs]:
        _books_are_right(world, run)
    expected = _paths(world, quiet_run)
    for run in runs:
        assert _paths(world, run) == expected


def _disturbed(world: World, generator: random.Random, kills: Counter[str]) -> tuple[str, dict[str, object]]:
    """One run with processes killed until it ends by itself."""
    driver = world.refine()
    run = launched(driver)
    deadline = time.monotonic() + END_AFTER_SECONDS
    while driver.poll() is None and sum(kills.values()) < KILLS + 8:
        assert time.monotonic() < deadline, f"run {run} does not end"
        time.sleep(generator.uniform(0.2, 2.0))
        victim = generator.choice(VICTIMS)
        if victim == "driver":
            driver.kill()
            driver.wait()
            kills["driver"] += 1
            driver = world.resume(run)
            continue
        pid = next((pid for name, pid in world.hosts().items() if name.startswith(victim)), None)
        if pid is not None and driver.poll() is None and kill(pid):
            kills[victim] += 1
    outcome = done(driver)
    assert outcome.get("run") == run, outcome
    return run, outcome


def _books_are_right(world: World, run: str) -> None:
    """The ledger, the vendor's own books and the lake tell the same story of a run."""
    ledger = world.ledger
    attempts = {one.attempt: one for one in ledger.attempts(run)}
    served = Counter(str(entry["attempt"]) for entry in read_books(world.books, run))
    assert set(served) <= set(attempts), "the vendor served what the ledger never reserved"
    assert all(times == 1 for times in served.values()), "an attempt was sent twice"
    by_call: dict[tuple[str, int], list[str]] = {}
    for one in attempts.values():
        by_call.setdefault((one.path, one.index), []).append(one.state)
    for call, states in by_call.items():
        assert "settled" not in states[:-1], f"{call} was bought again after it was settled: {states}"
    lost = [one for one in attempts.values() if one.attempt in served and one.state not in ("settled", "released")]
    row = ledger.run(run)
    assert row.lost_in_flight >= len(lost), "a call lost in flight is not counted"
    assert row.charged == sum(one.charge for one in attempts.values())
    keys = lake_keys(world.lake, run)
    doubled = [key for key, times in keys.items() if times > 1]
    assert not doubled, doubled
    in_lake = {key[1:3] for key in keys if key[0] == "calls"}
    assert in_lake == {(one.path, str(one.index)) for one in ledger.calls(run)}


def _paths(world: World, run: str) -> set[tuple[str, ...]]:
    """Tables and steps with rows: the same for every run of the same work. Attempts and run ids are its own."""
    return {(key[0], key[1], key[2]) for key in lake_keys(world.lake, run)}
