"""Each vendor through backend hosts and ledger, beside its bare SDK, both against the simulator in the same run.

Prints one JSON object. CPU is that of the backend hosts and the ledger keeper; the simulator and the run are left out.
`vendors.py [VENDOR…]`; IN_FLIGHT in the environment gives other widths than 16, 200 and 1,000.
"""

from __future__ import annotations

import asyncio
import json
import os
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


def main() -> None:
    vendors = sys.argv[1:] or list(MODELS)
    if unknown := set(vendors) - set(MODELS):
        raise SystemExit(f"error: unknown vendors {sorted(unknown)}; there are {', '.join(MODELS)}")
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder, "scenario.yaml")
        scenario.write_text(SCENARIO)
        with running(latency=LATENCY, scenario=scenario) as simulator:
            os.environ.update(simulator.environment)
            report = {vendor: {str(width): _pair(vendor, width) for width in WIDTHS} for vendor in vendors}
    print(json.dumps(report, indent=2))


def _pair(vendor: str, width: int) -> dict[str, Any]:
    calls = CALLS if width > 50 else CALLS // 2
    bare, ours = _bare(vendor, calls, width), asyncio.run(_ours(vendor, calls, width))
    ratio = round(ours["cpu_ms_per_call"] / bare["cpu_ms_per_call"], 2)
    print(f"{vendor} {width}: {ratio} x the bare SDK's CPU", file=sys.stderr, flush=True)
    return {"bare": bare, "bessemer": ours, "cpu_ratio": ratio}


def _bare(vendor: str, calls: int, width: int) -> dict[str, float]:
    line = [sys.executable, str(HERE / "_bare.py"), vendor, str(calls), str(width)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


async def _ours(vendor: str, calls: int, width: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bsm-bench-") as folder:
        backends = {vendor: {"max_in_flight": max(width, 64)}}
        settings = load_settings(flags={"state_dir": folder, "backends": backends}, cwd=Path(folder))
        await asyncio.to_thread(ray_session.join, private=True)
        try:
            driver = Driver(home_of(settings))
            await _run(driver, settings, vendor, 2 * width, width, "warm")
            before, began = look(memory=False), time.monotonic()
            outcome = await _run(driver, settings, vendor, calls, width, "timed")
            took, cpu = time.monotonic() - began, used(before, look(memory=False))
        finally:
            await asyncio.to_thread(ray_session.leave)
    failed = [one for one in outcome["scored"] if one["score"] is None]
    if failed:
        raise SystemExit(f"error: {len(failed)} of {calls} calls failed, the first with: {failed[0]}")
    counted = sum(cpu.get(kind, 0.0) for kind in COUNTED)
    return {"calls_per_second": round(calls / took, 1), "cpu_ms_per_call": round(counted / calls * 1000, 3)}


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
