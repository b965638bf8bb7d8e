"""One-call evaluations through run host, backend host, ledger and lake, beside a bare SDK loop on the same server.

Prints one JSON object. A loopback server answers each request after 200 ms; 200 are in flight at most, by its own
count. CPU is summed over every process of the product (driver, hosts, raylet, GCS), the server left out on both sides.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from _peers import inspect_loop
from _processes import look, total, used

from bessemer.actors._hosts import lake_ref
from bessemer.actors._wire import ask, encode
from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.lake import Lake
from bessemer.cluster.settings import Settings, load_settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._prepare import home_of, versions
from bessemer.pipelines.score import Item, ScorePlan

CALLS, IN_FLIGHT, LATENCY = 1_000, 200, 0.2
ANSWER = '{"score": 7, "reason": "fine"}'
HERE = Path(__file__).parent


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    server = subprocess.Popen(
        [sys.executable, str(HERE / "_loopback.py"), "--latency", str(LATENCY), "--answer", ANSWER],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        bare = _bare(url, calls)
        ours = asyncio.run(_ours(url, calls))
        bare_again = _bare(url, calls)
        with urllib.request.urlopen(f"{url}/stats", timeout=10) as answer:
            most = json.load(answer)["most_in_flight"]
        peer = inspect_loop(url, calls)
    finally:
        server.terminate()
        server.wait(10)
    base = {key: (bare[key] + bare_again[key]) / 2 for key in bare}
    report = {
        "calls": calls,
        "most_in_flight": most,
        "bare": base,
        "bessemer": ours,
        "rate_ratio": round(ours["calls_per_second"] / base["calls_per_second"], 3),
        "cpu_ratio": round(ours["cpu_ms_per_call"] / base["cpu_ms_per_call"], 3),
        "inspect_ai": peer,
    }
    print(json.dumps(report, indent=2))


def _bare(url: str, calls: int) -> dict[str, float]:
    line = [sys.executable, str(HERE / "_peers.py"), url, str(calls), str(IN_FLIGHT)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=300)
    return {key: float(value) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}


async def _ours(url: str, calls: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bsm-bench-") as folder:
        os.environ["BESSEMER_COMPATIBLE_URL"] = url
        settings = load_settings(
            flags={"state_dir": folder, "backends": {"compatible": {"free": True, "max_in_flight": IN_FLIGHT}}},
            cwd=Path(folder),
        )
        await asyncio.to_thread(ray_session.join, private=True)
        try:
            return await _timed(settings, calls)
        finally:
            await asyncio.to_thread(ray_session.leave)


async def _timed(settings: Settings, calls: int) -> dict[str, Any]:
    home = home_of(settings)
    driver = Driver(home)

    async def run(number: int, count: int) -> dict[str, object]:
        plan = ScorePlan(
            items=tuple(Item(id=f"{n}", text=f"text {n}") for n in range(count)),
            instructions="Score the text.",
            backend="openai-compatible/bench",
            side_by_side=2 * IN_FLIGHT,
        )
        pins = {"plan": plan.model_dump(mode="json"), **versions(settings)}
        spec = RunSpec(run=f"bench-{number}", pipeline="score", pins=pins, caps={f"run:bench-{number}": None})
        await driver.start(spec)
        return await driver.watch(spec, lambda event: None)

    await run(0, 2 * IN_FLIGHT)  # hosts, connections and imports are warm after this
    lake = lake_ref(home)
    await ask(lake, "flush", encode({}), within=60)
    before, began = look(memory=False), time.monotonic()
    outcome = await run(1, calls)
    took = time.monotonic() - began
    await ask(lake, "flush", encode({}), within=60)
    cpu = used(before, look(memory=False))
    scored = outcome["scored"]
    assert isinstance(scored, list)
    assert len(scored) == calls
    assert all(one["score"] == 7 for one in scored)
    rows = Lake(home.lake_url).sql("SELECT count(*) AS n FROM calls WHERE run = 'bench-1'").to_pylist()[0]["n"]
    assert rows == calls, rows
    by_kind = {kind: round(seconds / calls * 1000, 3) for kind, seconds in cpu.items() if seconds > 0.01}
    return {
        "calls_per_second": round(calls / took, 1),
        "cpu_ms_per_call": round(total(cpu) / calls * 1000, 3),
        "cpu_by_kind": by_kind,
    }


if __name__ == "__main__":
    main()
