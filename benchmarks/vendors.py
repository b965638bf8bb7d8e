"""Each vendor through backend hosts and ledger, beside its bare SDK, both against the simulator in the same run.

The two take turns while one cluster is up, each as warm as the other. Prints one JSON object, each figure a median of
the turns. CPU is that of the backend hosts and the ledger keeper; the simulator and the run are left out. An actor of
Ray uses some without any work: `rest` is that share of a call's CPU.
`flat` is how far the costliest width is above the cheapest, beside the bare SDK at the same width, less that rest.
`vendors.py [VENDOR…]`; in the environment IN_FLIGHT gives other widths than 16, 200 and 1,000, and TURNS others than 3.
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
from pathlib import Path
from typing import Any

from _processes import look, used

from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import versions
from bessemer.interfaces.simulator import running
from bessemer.pipelines.score import Item, ScorePlan

HERE = Path(__file__).parent
CALLS = 1000
LATENCY = "0.2"
SCENARIO = "rules: []\ndefault: {data: {score: 7, reason: fine}}\n"
WIDTHS = tuple(int(width) for width in os.environ.get("IN_FLIGHT", "16 200 1000").split())
MODELS = {
    "anthropic": "anthropic/claude-opus-4-6",
    "openai": "openai/gpt-5.4",
    "google": "google/gemini-3.1-pro-preview",
    "xai": "xai/grok-4.20-0309-reasoning",
}
COUNTED = ("BackendHost", "LedgerKeeper")
TURNS = int(os.environ.get("TURNS", "3"))
REST_SECONDS = 4.0

Figures = dict[str, float]


def main() -> None:
    vendors = sys.argv[1:] or list(MODELS)
    if unknown := set(vendors) - set(MODELS):
        raise SystemExit(f"error: unknown vendors {sorted(unknown)}; there are {', '.join(MODELS)}")
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder, "scenario.yaml")
        scenario.write_text(SCENARIO)
        with running(latency=LATENCY, scenario=scenario) as simulator:
            os.environ.update(simulator.environment)
            report = {vendor: _vendor(vendor) for vendor in vendors}
    print(json.dumps(report, indent=2))


def _vendor(vendor: str) -> dict[str, Any]:
    cells = {str(width): _cell(vendor, width) for width in WIDTHS}
    ratios = [cell["cpu_ratio_less_rest"] for cell in cells.values()]
    return {**cells, "flat": round(max(ratios) / min(ratios), 2)}


def _cell(vendor: str, width: int) -> dict[str, Any]:
    turns = asyncio.run(_turns(vendor, width))
    figures = {name: round(statistics.median(turn[name] for turn in turns), 3) for name in turns[0]}
    print(f"{vendor} {width}: {figures['cpu_ratio']} x the bare SDK's CPU", file=sys.stderr, flush=True)
    return {**figures, "cpu_ratios": [round(turn["cpu_ratio"], 2) for turn in turns]}


async def _turns(vendor: str, width: int) -> list[Figures]:
    """Bare SDK and ours by turns, on one cluster: what else wakes on the machine is the same for both."""
    calls = CALLS if width > 50 else CALLS // 2
    with tempfile.TemporaryDirectory(prefix="bsm-bench-") as folder:
        backends = {vendor: {"max_in_flight": max(width, 64)}}
        settings = load_settings(flags={"state_dir": folder, "backends": backends}, cwd=Path(folder))
        await asyncio.to_thread(ray_session.join, private=True)
        try:
            driver = Driver(home_of(settings))
            await _run(driver, settings, vendor, 2 * width, width, "warm")
            return [await _turn(driver, settings, vendor, calls, width, f"turn-{turn}") for turn in range(TURNS)]
        finally:
            await asyncio.to_thread(ray_session.leave)


async def _turn(driver: Driver, settings: Any, vendor: str, calls: int, width: int, name: str) -> Figures:
    bare = await asyncio.to_thread(_bare, vendor, calls, width)
    before = look(memory=False)
    await asyncio.sleep(REST_SECONDS)
    rest = _counted(used(before, look(memory=False))) / REST_SECONDS
    before, began = look(memory=False), time.monotonic()
    outcome = await _run(driver, settings, vendor, calls, width, name)
    took, cpu = time.monotonic() - began, _counted(used(before, look(memory=False))) / calls * 1000
    failed = [one for one in outcome["scored"] if one["score"] is None]
    if failed:
        raise SystemExit(f"error: {len(failed)} of {calls} calls failed, the first with: {failed[0]}")
    resting = rest * took / calls * 1000
    return {
        **{f"bare_{name}": value for name, value in bare.items()},
        "calls_per_second": calls / took,
        "cpu_ms_per_call": cpu,
        "rest_ms_per_call": resting,
        "cpu_ratio": cpu / bare["cpu_ms_per_call"],
        "cpu_ratio_less_rest": (cpu - resting) / bare["cpu_ms_per_call"],
    }


def _bare(vendor: str, calls: int, width: int) -> Figures:
    line = [sys.executable, str(HERE / "_bare.py"), vendor, str(calls), str(width)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=300)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def _counted(cpu: dict[str, float]) -> float:
    """Seconds of the processes that are counted."""
    return sum(cpu.get(kind, 0.0) for kind in COUNTED)


async def _run(driver: Driver, settings: Any, vendor: str, calls: int, width: int, name: str) -> dict[str, Any]:
    plan = ScorePlan(
        items=tuple(Item(id=f"{number}", text=f"text {number}") for number in range(calls)),
        instructions="Score the text.",
        backend=MODELS[vendor],
        side_by_side=width,
    )
    pins = {"plan": plan.model_dump(mode="json"), **versions(settings)}
    run = f"{vendor}-{width}-{name}"
    spec = RunSpec(run=run, pipeline="score", pins=pins, caps={f"run:{run}": None})
    await driver.start(spec)
    return await driver.watch(spec, lambda event: None)


if __name__ == "__main__":
    main()
