"""One-call evaluations through run host, backend host, ledger and lake, beside a bare SDK loop on the same server.

Prints one JSON object. A loopback server answers each request after 200 ms; 200 are in flight at most, by its own
count. CPU is summed over every process of the product (driver, hosts, raylet, GCS), the server left out on both sides.
The two take turns while one cluster stands; figures are medians over the turns, so that a machine's moods cancel out.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from _peers import inspect_loop
from _processes import look, total, used

from bessemer.actors._hosts import lake_ref
from bessemer.actors._wire import ask, encode
from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.home import Home
from bessemer.cluster.lake import Lake
from bessemer.cluster.settings import Settings, load_settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import versions
from bessemer.pipelines.score import Item, ScorePlan

CALLS, IN_FLIGHT, LATENCY, TURNS = 1_000, 200, 0.2, 5
ANSWER = '{"score": 7, "reason": "fine"}'
HERE = Path(__file__).parent


class Turn(NamedTuple):
    """One after the other on the same machine: calls per second and milliseconds of CPU per call."""

    bare: dict[str, float]
    ours: dict[str, float]
    kinds: dict[str, float]
    """Ours, by kind of process."""


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
        turns = asyncio.run(_turns(url, calls))
        with urllib.request.urlopen(f"{url}/stats", timeout=10) as answer:
            most = json.load(answer)["most_in_flight"]
        peer = inspect_loop(url, calls)
    finally:
        server.terminate()
        server.wait(10)
    print(json.dumps({"calls": calls, "most_in_flight": most, **_compared(turns), "inspect_ai": peer}, indent=2))


def _compared(turns: list[Turn]) -> dict[str, Any]:
    """Medians of both sides, and each turn's ratios."""
    rate = [turn.ours["calls_per_second"] / turn.bare["calls_per_second"] for turn in turns]
    cpu = [turn.ours["cpu_ms_per_call"] / turn.bare["cpu_ms_per_call"] for turn in turns]
    kinds = sorted({kind for turn in turns for kind in turn.kinds})
    return {
        "bare": {key: round(statistics.median(turn.bare[key] for turn in turns), 3) for key in turns[0].bare},
        "bessemer": {key: round(statistics.median(turn.ours[key] for turn in turns), 3) for key in turns[0].ours},
        "cpu_by_kind": {
            kind: round(statistics.median(turn.kinds.get(kind, 0.0) for turn in turns), 3) for kind in kinds
        },
        "rate_ratio": round(statistics.median(rate), 3),
        "cpu_ratio": round(statistics.median(cpu), 3),
        "rate_ratios": [round(one, 3) for one in rate],
        "cpu_ratios": [round(one, 3) for one in cpu],
    }


def _bare(url: str, calls: int) -> dict[str, float]:
    line = [sys.executable, str(HERE / "_peers.py"), url, str(calls), str(IN_FLIGHT)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=300)
    return {key: float(value) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}


async def _turns(url: str, calls: int) -> list[Turn]:
    with tempfile.TemporaryDirectory(prefix="bsm-bench-") as folder:
        os.environ["BESSEMER_COMPATIBLE_URL"] = url
        settings = load_settings(
            flags={"state_dir": folder, "backends": {"compatible": {"free": True, "max_in_flight": IN_FLIGHT}}},
            cwd=Path(folder),
        )
        await asyncio.to_thread(ray_session.join, private=True)
        try:
            return await _take_turns(settings, url, calls)
        finally:
            await asyncio.to_thread(ray_session.leave)


async def _take_turns(settings: Settings, url: str, calls: int) -> list[Turn]:
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
    turns = []
    for number in range(1, TURNS + 1):
        bare = await asyncio.to_thread(_bare, url, calls)
        await ask(lake, "flush", encode({}), within=60)
        before, began = look(memory=False), time.monotonic()
        outcome = await run(number, calls)
        took = time.monotonic() - began
        await ask(lake, "flush", encode({}), within=60)
        cpu = used(before, look(memory=False))
        _check(home, number, calls, outcome)
        ours = {"calls_per_second": calls / took, "cpu_ms_per_call": total(cpu) / calls * 1000}
        kinds = {kind: seconds / calls * 1000 for kind, seconds in cpu.items() if seconds > 0.01}
        turns.append(Turn(bare, ours, kinds))
    return turns


def _check(home: Home, number: int, calls: int, outcome: dict[str, object]) -> None:
    """Fail unless every call was answered, scored and written."""
    scored = outcome["scored"]
    assert isinstance(scored, list)
    assert len(scored) == calls
    assert all(one["score"] == 7 for one in scored)
    query = f"SELECT count(*) AS n FROM calls WHERE run = 'bench-{number}'"
    rows = Lake(home.lake_url).sql(query).to_pylist()[0]["n"]
    assert rows == calls, rows


if __name__ == "__main__":
    main()
