"""Each vendor through backend hosts and ledger, beside its bare SDK, both against the simulator in the same run.

The two take turns while one cluster is up, each first in every second turn and each as warm as the other. Prints one
JSON object: medians of the turns, and for what is compared a 95 % interval, bootstrapped over the turns. CPU is that of
the backend hosts and the ledger keeper; the simulator and the run are left out. An actor of Ray uses some without any
work: `rest` is that share of a call's CPU.
`flat` is how far the costliest width is above the cheapest, beside the bare SDK at the same width, less that rest.
`vendors.py [VENDOR…]`; in the environment IN_FLIGHT gives other widths than 16, 200 and 1,000, and TURNS others than 9.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from _processes import look, used

from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.settings import Settings, load_settings
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
TURNS = int(os.environ.get("TURNS", "9"))
REST_SECONDS = 5.0
BARE_SECONDS = 300.0
"""How long a turn of the bare SDK may take."""
RESAMPLES = 4000

Figures = dict[str, float]
Ratios = list[float]
"""One for each turn."""


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
    turns = {width: asyncio.run(_turns(vendor, width)) for width in WIDTHS}
    report: dict[str, Any] = {str(width): _cell(vendor, width, found) for width, found in turns.items()}
    less_rest = [[turn["cpu_ratio_less_rest"] for turn in found] for found in turns.values()]
    report["flat"], report["flat_interval"] = _estimate(_flat, less_rest)
    print(f"{vendor}: flat within {report['flat']} {report['flat_interval']}", file=sys.stderr, flush=True)
    return report


def _cell(vendor: str, width: int, turns: list[Figures]) -> dict[str, Any]:
    ratios = [turn["cpu_ratio"] for turn in turns]
    ratio, interval = _estimate(lambda drawn: median(drawn[0]), [ratios])
    print(f"{vendor} {width}: {ratio} x the bare SDK's CPU {interval}", file=sys.stderr, flush=True)
    return {
        **{name: round(median(turn[name] for turn in turns), 3) for name in turns[0]},
        "cpu_ratio": ratio,
        "cpu_ratio_interval": interval,
        "cpu_ratios": [round(one, 2) for one in ratios],
    }


def _flat(widths: list[Ratios]) -> float:
    medians = [median(ratios) for ratios in widths]
    return max(medians) / min(medians)


def _estimate(statistic: Callable[[list[Ratios]], float], widths: list[Ratios]) -> tuple[float, list[float]]:
    """The statistic and its 95 % percentile interval, of turns drawn anew at each width."""
    dice = random.Random(0)
    drawn = sorted(statistic([dice.choices(one, k=len(one)) for one in widths]) for _ in range(RESAMPLES))
    interval = [drawn[int(RESAMPLES * 0.025)], drawn[int(RESAMPLES * 0.975)]]
    return round(statistic(widths), 2), [round(end, 2) for end in interval]


async def _turns(vendor: str, width: int) -> list[Figures]:
    """Bare SDK and ours see the same machine: one cluster is there for both."""
    with tempfile.TemporaryDirectory(prefix="bsm-bench-") as folder:
        backends = {vendor: {"max_in_flight": max(width, 64)}}
        settings = load_settings(flags={"state_dir": folder, "backends": backends}, cwd=Path(folder))
        await asyncio.to_thread(ray_session.join, private=True)
        bare = await _begin_bare(vendor, width)
        try:
            ours = Ours(vendor, width, settings)
            await ours.make(2 * width)
            resting = await _resting()
            return [await _turn(ours, bare, resting, turn % 2 == 0) for turn in range(TURNS)]
        finally:
            bare.kill()
            await bare.wait()
            await asyncio.to_thread(ray_session.leave)


def _calls(width: int) -> int:
    """Of one turn."""
    return max(CALLS, 3 * width)


async def _turn(ours: Ours, bare: Process, resting: float, bare_first: bool) -> Figures:
    """`resting` is the CPU seconds a second of hosts without work."""
    if bare_first:
        beside, figures = await _bare_turn(bare), await ours.turn()
    else:
        figures, beside = await ours.turn(), await _bare_turn(bare)
    cpu, bare_cpu = figures["cpu_ms_per_call"], beside["cpu_ms_per_call"]
    rest = resting / figures["calls_per_second"] * 1000
    return {
        **{f"bare_{name}": value for name, value in beside.items()},
        **figures,
        "rest_ms_per_call": rest,
        "cpu_ratio": cpu / bare_cpu,
        "cpu_ratio_less_rest": (cpu - rest) / bare_cpu,
    }


async def _begin_bare(vendor: str, width: int) -> Process:
    line = [str(HERE / "_bare.py"), vendor, str(_calls(width)), str(width), "--turns"]
    return await asyncio.create_subprocess_exec(sys.executable, *line, stdin=PIPE, stdout=PIPE)


async def _bare_turn(bare: Process) -> Figures:
    """Raises SystemExit where the bare SDK's process ended."""
    assert bare.stdin is not None
    assert bare.stdout is not None
    bare.stdin.write(b"\n")
    line = await asyncio.wait_for(bare.stdout.readline(), BARE_SECONDS)
    if not line:
        raise SystemExit("error: the bare SDK's process ended, see above")
    figures: Figures = json.loads(line)
    return figures


class Ours:
    """One vendor's calls through the product, so many in flight."""

    def __init__(self, vendor: str, width: int, settings: Settings) -> None:
        self._vendor = vendor
        self._width = width
        self._settings = settings
        self._driver = Driver(home_of(settings))
        self._runs = 0

    async def turn(self) -> Figures:
        """A turn of calls, after twice as many as are in flight."""
        await self.make(2 * self._width)
        calls = _calls(self._width)
        before, began = look(memory=False), time.monotonic()
        await self.make(calls)
        took = time.monotonic() - began
        cpu = _counted(used(before, look(memory=False)))
        return {"calls_per_second": calls / took, "cpu_ms_per_call": cpu / calls * 1000}

    async def make(self, calls: int) -> None:
        """Make so many calls, as one run. Raises SystemExit where one of them failed."""
        plan = ScorePlan(
            items=tuple(Item(id=f"{number}", text=f"text {number}") for number in range(calls)),
            instructions="Score the text.",
            backend=MODELS[self._vendor],
            side_by_side=self._width,
        )
        self._runs += 1
        run = f"{self._vendor}-{self._width}-{self._runs}"
        pins = {"plan": plan.model_dump(mode="json"), **versions(self._settings)}
        spec = RunSpec(run=run, pipeline="score", pins=pins, caps={f"run:{run}": None})
        await self._driver.start(spec)
        outcome = await self._driver.watch(spec, lambda event: None)
        failed = [one for one in outcome["scored"] if one["score"] is None]
        if failed:
            raise SystemExit(f"error: {len(failed)} of {calls} calls failed, the first with: {failed[0]}")


async def _resting() -> float:
    """CPU seconds a second of hosts without work."""
    before, began = look(memory=False), time.monotonic()
    await asyncio.sleep(REST_SECONDS)
    return _counted(used(before, look(memory=False))) / (time.monotonic() - began)


def _counted(cpu: dict[str, float]) -> float:
    """Seconds of the processes that are counted."""
    return sum(cpu.get(kind, 0.0) for kind in COUNTED)


if __name__ == "__main__":
    main()
