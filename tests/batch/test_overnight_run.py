"""A whole overnight run on the cluster: killed while its batches are out, and away from memory while it waits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from bessemer.actors._hosts import run_ref
from bessemer.actors._wire import ask, decode
from bessemer.actors.backends.base import Usage
from bessemer.actors.run_host import RunSpec
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.prices import PriceBook
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import versions
from bessemer.interfaces.simulator import Simulator, running
from bessemer.pipelines.score import ScorePlan

from ._bench import MODELS

CALLS = 300
BACKEND = MODELS["anthropic"]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


class Overnight:
    """One home on the session's cluster whose Anthropic is the simulator."""

    def __init__(self, root: Path, simulator: Simulator, **batch: Any) -> None:
        self.simulator = simulator
        self.before = len(simulator.books())
        (root / ".bessemer").mkdir()
        given = {
            "backends": {"anthropic": {"base_url": simulator.url, "key_variable": "BESSEMER_TEST_KEY"}},
            "batch": {"max_wait_seconds": 4, "poll_seconds": 0.5, "max_calls": 200, **batch},
            "ledger": {"lease_seconds": 6},
        }
        (root / ".bessemer" / "config.yaml").write_text(json.dumps(given))
        # Hosts inherit the environment of the cluster, which is older than this test.
        (root / ".env").write_text("BESSEMER_TEST_KEY=simulated\n")
        self.settings = load_settings(cwd=root)
        self.home: Home = home_of(self.settings)
        self.driver = Driver(self.home)

    def spec(self, run: str, count: int, **plan: Any) -> RunSpec:
        given = {
            "items": [{"id": str(n), "text": f"text {n} of {run}"} for n in range(count)],
            "instructions": "Score the text.",
            "backend": BACKEND,
            "urgency": "overnight",
            **plan,
        }
        made = ScorePlan.model_validate(given)
        pins = {"plan": made.model_dump(mode="json"), **versions(self.settings)}
        return RunSpec(run=run, pipeline="score", pins=pins, caps={f"run:{run}": 50_000_000})

    def bought(self) -> list[dict[str, Any]]:
        books = self.simulator.books()[self.before :]
        assert not [one for one in books if one["mode"] != "batch"], "a call was made live"
        return [one for one in books if one["billed"]]

    def attempts(self, run: str) -> list[Any]:
        with Ledger.open(self.home.ledger_url) as ledger:
            return ledger.attempts(run)

    def pid(self, name: str) -> int:
        for namespace in (self.home.ledger_namespace, self.home.host_namespace):
            try:
                handle = ray.get_actor(name, namespace=namespace)
            except ValueError:
                continue
            return int(decode(ray.get(handle.describe.remote(b"{}"), timeout=60))["ok"]["pid"])
        raise AssertionError(f"no host {name}")

    async def until(self, holds: Any, seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to that"
            await asyncio.sleep(0.2)

    def close(self) -> None:
        for one in ray.util.list_named_actors(all_namespaces=True):
            if one["namespace"] in {self.home.ledger_namespace, self.home.host_namespace}:
                ray.kill(ray.get_actor(one["name"], namespace=one["namespace"]), no_restart=True)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    scenario = tmp_path_factory.mktemp("scenario") / "scenario.yaml"
    scenario.write_text("rules: []\ndefault: {data: {score: 7, reason: fine}}\n")
    with running(scenario=str(scenario)) as made:
        yield made


@pytest.fixture
def overnight(short_tmp: Path, ray_cluster: str, vendor: Simulator) -> Iterator[Overnight]:
    made = Overnight(short_tmp, vendor)
    yield made
    made.close()


@pytest.fixture
def leaving(short_tmp: Path, ray_cluster: str, vendor: Simulator) -> Iterator[Overnight]:
    made = Overnight(short_tmp, vendor, leave_seconds=2)
    yield made
    made.close()


async def test_a_run_killed_while_its_batches_are_out_buys_each_call_once(overnight: Overnight) -> None:
    overnight.simulator.set(batch_seconds=20)
    spec = overnight.spec("night", CALLS)
    await overnight.driver.start(spec)
    watching = asyncio.create_task(overnight.driver.watch(spec, lambda event: None))
    await overnight.until(lambda: [one.state for one in overnight.attempts("night")] == ["submitted"] * CALLS)
    os.kill(overnight.pid("batch/anthropic/default"), signal.SIGKILL)
    await asyncio.sleep(2)
    os.kill(overnight.pid(run_ref(overnight.home).name), signal.SIGKILL)
    outcome = await asyncio.wait_for(watching, 240)
    assert outcome["ending"] == "passed", outcome
    assert Counter(one["digest"] for one in overnight.bought()).most_common(1)[0][1] == 1
    assert len(overnight.bought()) == CALLS
    attempts = overnight.attempts("night")
    assert Counter(one.state for one in attempts) == {"settled": CALLS}
    book = PriceBook()
    assert all(one.charge == book.cost(BACKEND, Usage.model_validate(one.usage)) for one in attempts)
    assert {one.usage["tier"] for one in attempts} == {"batch"}
    assert outcome["cost"] == sum(one.charge for one in attempts) > 0


@pytest.mark.long
async def test_a_run_that_only_waits_leaves_memory_and_comes_back(leaving: Overnight) -> None:
    leaving.simulator.set(batch_seconds=15)
    spec = leaving.spec("away", 5)
    await leaving.driver.start(spec)
    events: list[str] = []
    watching = asyncio.create_task(leaving.driver.watch(spec, lambda event: events.append(event["kind"])))
    await leaving.until(lambda: "left_memory" in events)
    with Ledger.open(leaving.home.ledger_url) as ledger:
        assert ledger.run("away").status == "interrupted"
    assert (await ask(run_ref(leaving.home), "describe", b"{}", within=30))["hosts"] == []
    outcome = await asyncio.wait_for(watching, 120)
    assert outcome["ending"] == "passed"
    assert len(leaving.bought()) == 5
    assert {one.state for one in leaving.attempts("away")} == {"settled"}
