"""Overnight runs that wait for their batches: listed, cancelled with their vendor, and stopped while they are away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bessemer.actors._hosts import run_ref
from bessemer.cluster.errors import Cancelled
from bessemer.cluster.ledger import Ledger
from bessemer.interfaces.simulator import Simulator, running
from tests.batch.test_overnight_run import Overnight
from tests.crash._world import World

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    scenario = tmp_path_factory.mktemp("scenario") / "scenario.yaml"
    scenario.write_text("rules: []\ndefault: {data: {score: 7, reason: fine}}\n")
    with running(scenario=str(scenario)) as made:
        yield made


@pytest.fixture
def away(short_tmp: Path, ray_cluster: str, vendor: Simulator) -> Iterator[Overnight]:
    made = Overnight(short_tmp, vendor, leave_seconds=2)
    yield made
    made.close()


def status(home: Overnight, run: str) -> str:
    with Ledger.open(home.home.ledger_url) as ledger:
        return str(ledger.run(run).status)


async def told(away: Overnight, address: str, *words: str) -> str:
    root = Path(away.home.state_dir).parent
    line = [*World.base_command(), *words]
    if "list" not in words:
        line += ["--address", address]
    done = await asyncio.to_thread(
        subprocess.run, line, cwd=root, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout or done.stderr)


@pytest.mark.long
async def test_a_parked_run_is_stopped_even_if_its_host_forgot_it(away: Overnight, ray_cluster: str) -> None:
    away.simulator.set(batch_seconds=600)
    spec = away.spec("parked", 3)
    await away.driver.start(spec)
    await away.until(lambda: status(away, "parked") == "interrupted")
    os.kill(away.pid(run_ref(away.home).name), signal.SIGKILL)
    assert "is stopped" in await told(away, ray_cluster, "run", "cancel", "parked")
    assert "held by nobody" in await told(away, ray_cluster, "run", "cancel", "parked")
    assert {one.state for one in away.attempts("parked")} == {"submitted"}, "what is out is paid for and kept"
    away.simulator.set(batch_seconds=0.1)


@pytest.mark.long
async def test_a_watched_parked_run_ends_for_its_watcher_when_it_is_stopped(away: Overnight, ray_cluster: str) -> None:
    away.simulator.set(batch_seconds=600)
    spec = away.spec("watched", 3)
    await away.driver.start(spec)
    watching = asyncio.create_task(away.driver.watch(spec, lambda event: None))
    await away.until(lambda: status(away, "watched") == "interrupted")
    assert await away.driver.stop("watched")
    with pytest.raises(Cancelled, match="in batches already is paid for"):
        await asyncio.wait_for(watching, 60)


async def test_batches_are_listed_and_cancelled_by_the_vendor(away: Overnight, ray_cluster: str) -> None:
    away.simulator.set(batch_seconds=600)
    spec = away.spec("night", 4)
    await away.driver.start(spec)
    watching = asyncio.create_task(away.driver.watch(spec, lambda event: None))
    await away.until(lambda: {one.state for one in away.attempts("night")} == {"submitted"})
    (row,) = [json.loads(line) for line in (await told(away, ray_cluster, "batch", "list", "--json")).splitlines()]
    assert (row["provider"], row["account"], row["state"], row["calls"]) == ("anthropic", "default", "out", 4)
    assert row["runs"] == ["night"]
    assert row["charged"] == sum(one.charge for one in away.attempts("night")) > 0
    assert "night" in await told(away, ray_cluster, "batch", "list")
    assert "asked anthropic to cancel" in await told(away, ray_cluster, "batch", "cancel", row["batch"][:-2])
    outcome = await asyncio.wait_for(watching, 120)
    assert (outcome["ending"], outcome["cost"]) == ("not_judged", 0)
    assert await told(away, ray_cluster, "batch", "list", "--json") == ""
