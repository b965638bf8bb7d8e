"""Runs over several run hosts: a full one is joined by another, and whoever looks for a run finds it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from bessemer.actors._people import People
from bessemer.actors._run_hosts import RunHosts, _Seen
from bessemer.actors._wire import HostRef, ask, decode, encode
from bessemer.actors.run_host import RunHost, RunSpec, _Held
from bessemer.cluster.errors import Cancelled, HostFull, RunDiverged, UsageError
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._cluster_doctor import actor_rows
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import versions
from bessemer.interfaces.cli.cluster import _carried, describe_actors
from bessemer.pipelines.score import Item, ScorePlan

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

HOSTS, ROOM = 2, 2
SCENARIO = "rules: []\ndefault: {data: {score: 7, reason: fine}, latency: %s}\n"


class Site:
    """A home with two small run hosts, and runs that take as long as they are told."""

    def __init__(self, root: Path, seconds: float) -> None:
        (root / "scenario.yaml").write_text(SCENARIO % seconds)
        cluster = {"run_hosts": HOSTS, "runs_per_host": ROOM}
        flags = {"backends": {"scripted": {"scenario": str(root / "scenario.yaml")}}, "cluster": cluster}
        self.settings = load_settings(flags=flags, cwd=root)
        self.home = home_of(self.settings)

    def spec(self, run: str, **plan: Any) -> RunSpec:
        made = ScorePlan(
            items=(Item(id="1", text=run),),
            instructions="Score the text.",
            backend="scripted/j",
            side_by_side=1,
            **plan,
        )
        (Path(self.home.state_dir) / "runs" / run).mkdir(parents=True)
        pins = {"plan": made.model_dump(mode="json"), **versions(self.settings)}
        return RunSpec(run=run, pipeline="score", pins=pins, caps={f"run:{run}": None})

    def hosts(self) -> dict[str, dict[str, Any]]:
        found = {}
        for one in ray.util.list_named_actors(all_namespaces=True):
            if one["namespace"] == self.home.host_namespace and one["name"].startswith("run/"):
                handle = ray.get_actor(one["name"], namespace=one["namespace"])
                found[one["name"]] = decode(ray.get(handle.describe.remote(b"{}"), timeout=60))["ok"]
        return found

    def status(self, run: str) -> str:
        with Ledger.open(self.home.ledger_url) as ledger:
            return str(ledger.run(run).status)

    def close(self) -> None:
        for one in ray.util.list_named_actors(all_namespaces=True):
            if one["namespace"] in {self.home.ledger_namespace, self.home.host_namespace}:
                ray.kill(ray.get_actor(one["name"], namespace=one["namespace"]), no_restart=True)


@pytest.fixture
def long(short_tmp: Path, ray_cluster: str) -> Iterator[Site]:
    """Its runs outlast the test."""
    made = Site(short_tmp, 200.0)
    yield made
    made.close()


@pytest.fixture
def brief(short_tmp: Path, ray_cluster: str) -> Iterator[Site]:
    made = Site(short_tmp, 4.0)
    yield made
    made.close()


async def test_runs_fill_one_host_and_then_another_and_are_found_by_a_new_driver(long: Site) -> None:
    driver = Driver(long.home)
    specs = [long.spec(f"r{number}") for number in range(HOSTS * ROOM)]
    await asyncio.gather(*(driver.start(spec) for spec in specs))
    hosts = long.hosts()
    assert sorted(len(one["hosts"]) for one in hosts.values()) == [ROOM] * HOSTS, hosts
    assert sorted(name.partition("#")[2] for name in hosts) == ["", "2"]

    with pytest.raises(HostFull, match=r"2 run hosts with 2 runs each are full .* raise cluster\.run_hosts"):
        await driver.start(long.spec("one-more"))

    # Other homes may have run hosts of the same names on this cluster.
    pids = {one["pid"] for one in hosts.values()}
    rows = [row for row in await asyncio.to_thread(describe_actors) if row.get("pid") in pids]
    assert {_carried(row).partition(":")[0] for row in rows} == {"2 of 2 runs"}
    assert any("full with 2 runs" in row.found for row in actor_rows(rows))

    other = Driver(long.home)
    assert all([await other.holds(spec.run) for spec in specs])
    assert not await other.holds("one-more")
    await asyncio.gather(*(other.start(spec) for spec in specs))
    assert {name: set(one["hosts"]) for name, one in long.hosts().items()} == {
        name: set(one["hosts"]) for name, one in hosts.items()
    }, "a run that is under way is not started a second time"

    watching = asyncio.create_task(other.watch(specs[-1], lambda event: None))
    assert await driver.cancel(specs[-1].run)
    with pytest.raises(Cancelled):
        await asyncio.wait_for(watching, 60)
    assert long.status(specs[-1].run) == "interrupted"
    await driver.start(long.spec("in-its-place"))
    assert sorted(len(one["hosts"]) for one in long.hosts().values()) == [ROOM] * HOSTS


async def test_runs_that_start_together_need_one_look_and_are_watched_over_lines(
    brief: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    fresh = RunHosts._look

    async def counted(self: RunHosts, runs: list[str]) -> Any:
        looks.append(len(runs))
        return await fresh(self, runs)

    monkeypatch.setattr(RunHosts, "_look", counted)
    driver = Driver(brief.home)
    first, *others = (brief.spec(f"r{number}") for number in range(HOSTS * ROOM))
    await driver.start(first)
    await asyncio.gather(*(driver.start(spec) for spec in others))
    assert looks == [1, len(others)]
    outcomes = await asyncio.wait_for(
        asyncio.gather(*(driver.watch(spec, lambda event: None) for spec in (first, *others))), 100
    )
    assert {one["ending"] for one in outcomes} == {"passed"}
    assert [one["lines"] for one in brief.hosts().values()] == [1] * HOSTS


async def test_a_start_that_is_given_up_takes_no_room(long: Site) -> None:
    hosts = RunHosts(long.home)
    await hosts.start(long.spec("r0"))
    given_up = [asyncio.create_task(hosts.start(long.spec(f"given-up-{n}"))) for n in range(HOSTS * ROOM)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    await asyncio.gather(*(hosts.start(long.spec(f"r{n}")) for n in range(1, HOSTS * ROOM)))
    assert sorted(len(one["hosts"]) for one in long.hosts().values()) == [ROOM] * HOSTS


async def test_a_host_that_was_full_and_has_room_again_takes_the_run_it_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = {"run_hosts": HOSTS, "runs_per_host": ROOM}
    hosts = RunHosts(home_of(load_settings(flags={"cluster": cluster}, cwd=tmp_path)))
    first, second = (HostRef(f"{hosts._first}{number}", lambda: None) for number in ("", "#2"))
    under_way = {first.name: {"a"}, second.name: {"b", "c"}}
    asked: list[str] = []

    async def look(runs: list[str]) -> list[_Seen]:
        return [_Seen(one, frozenset(under_way[one.name]), frozenset(), answers=True) for one in (first, second)]

    async def ask(host: HostRef, method: str, payload: bytes, *, within: float) -> str:
        asked.append(host.name)
        if len(asked) == 1:
            raise HostFull("another driver was quicker")
        return "r0"

    monkeypatch.setattr(hosts, "_look", look)
    monkeypatch.setattr("bessemer.actors._run_hosts.ask", ask)
    spec = RunSpec(run="r0", pipeline="score", pins={}, caps={})
    assert await hosts.start(spec) is first
    assert asked == [first.name] * 2


async def test_a_driver_that_was_closed_leaves_no_line_open_and_may_go_on(brief: Site) -> None:
    driver = Driver(brief.home)
    spec = brief.spec("r0")
    await driver.start(spec)
    async with asyncio.timeout(30):
        # While the line is being opened, what is asked goes through Ray.
        while [one["lines"] for one in brief.hosts().values()] != [1]:
            assert await driver.holds("r0")
            await asyncio.sleep(0.05)
    await driver.close()
    async with asyncio.timeout(30):
        while [one["lines"] for one in brief.hosts().values()] != [0]:
            await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(driver.watch(spec, lambda event: None), 60))["ending"] == "passed"


async def test_a_start_and_a_stop_that_are_said_twice_are_done_once(long: Site) -> None:
    driver, spec = Driver(long.home), long.spec("r0")
    host = await driver._runs.start(spec)
    message = spec.model_dump_json().encode()
    assert await asyncio.gather(*(ask(host, "start", message, within=60) for _ in range(3))) == ["r0"] * 3
    watching = asyncio.create_task(driver.watch(spec, lambda event: None))
    assert await asyncio.gather(*(driver.cancel("r0") for _ in range(3))) == [True] * 3
    with pytest.raises(Cancelled):
        await asyncio.wait_for(watching, 60)
    assert long.status("r0") == "interrupted"


async def test_a_stop_that_is_said_again_does_not_break_off_the_saving(tmp_path: Path) -> None:
    kind = RunHost.__ray_metadata__.modified_class
    host, saved = kind.__new__(kind), []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            saved.append(True)

    held = _Held(RunSpec(run="r0", pipeline="score", pins={}, caps={}), People(tmp_path))
    held.task, host._held = asyncio.create_task(work()), {"r0": held}
    await asyncio.sleep(0)
    first = asyncio.create_task(host.cancel(encode({"run": "r0"})))
    await asyncio.sleep(0.01)
    assert decode(await host.cancel(encode({"run": "r0"}))) == decode(await first) == {"ok": True}
    assert saved


async def test_a_host_says_what_it_cannot_be_told(long: Site) -> None:
    host = await RunHosts(long.home).start(long.spec("r0"))
    with pytest.raises(UsageError, match="cannot be told that"):
        await ask(host, "line", b"{}", within=30)
    assert (await ask(host, "describe", b"{}", within=30))["hosts"] == ["r0"]


async def test_each_host_takes_up_its_own_runs_again_when_it_was_killed(brief: Site) -> None:
    driver = Driver(brief.home)
    specs = [brief.spec(f"r{number}") for number in range(HOSTS * ROOM)]
    await asyncio.gather(*(driver.start(spec) for spec in specs))
    watching = [asyncio.create_task(driver.watch(spec, lambda event: None)) for spec in specs]
    for host in brief.hosts().values():
        os.kill(host["pid"], signal.SIGKILL)
    outcomes = await asyncio.wait_for(asyncio.gather(*watching), 200)
    assert {one["ending"] for one in outcomes} == {"passed"}
    with Ledger.open(brief.home.ledger_url) as ledger:
        for spec in specs:
            assert [one.state for one in ledger.attempts(spec.run)].count("settled") == 1
            assert ledger.run(spec.run).status == "done"


async def test_a_run_that_could_not_be_opened_is_not_held(long: Site) -> None:
    hosts = RunHosts(long.home)
    spec = long.spec("r0")
    await hosts.start(spec)
    other = spec.model_copy(update={"pins": {**spec.pins, "code": "another"}})
    await Driver(long.home).cancel("r0")
    with pytest.raises(RunDiverged, match="opened with another code"):
        await hosts.start(other)
    held = (await hosts._look(["r0"]))[0]
    assert "r0" not in held.runs
