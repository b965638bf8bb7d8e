"""Refine runs side by side on one local cluster, against the simulator at a fixed latency. Prints one JSON object.

    python benchmarks/scale.py [--runs 1 8 64] [--latency 0.2] [--plot FILE.svg]

A run takes in a workspace of one file, builds one task with a model (two turns), evaluates it with a model beside the
trace of what the builder did, and probes before and after: four calls, three of them one after another.
`docs/scaling.md` says what follows from the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from _disk import settle
from _processes import look, total, watched
from _scale_plot import draw

from bessemer.actors._hosts import keeper_ref
from bessemer.actors._wire import ask, encode
from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.settings import Settings, load_settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import Request, prepare_refine, remember_plan, versions
from bessemer.interfaces.simulator import running
from bessemer.pipelines.score import Item, ScorePlan

HERE = Path(__file__).parent
MODEL = "openai/gpt-5.4"
CALLS, CHAIN = 4, 3
"""Calls of one run, and how many of them wait for each other."""
BARE_CALLS, BARE_WIDTH = 400, 64
DENSE_CALLS, DENSE_WIDTH = 1000, 200
"""One run of so many calls, so many at once: what a call costs where messages and transactions carry many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--latency", type=float, default=0.2, help="seconds a call takes at the vendor")
    parser.add_argument("--sample", type=float, default=2.0, help="seconds between two looks at memory")
    parser.add_argument("--plot", type=Path, default=None, help="SVG file that gets the plot")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bsm-scale-") as folder:
        root = Path(folder)
        (root / "scenario.yaml").write_text(yaml.safe_dump(scenario(), sort_keys=False))
        with running(latency=str(options.latency), scenario=root / "scenario.yaml") as simulator:
            os.environ.update(simulator.environment)
            created = settle(root)
            bare = _bare(simulator.pid)
            report = asyncio.run(_report(root, options, bare))
    about = {"latency": options.latency, "cores": os.cpu_count(), "load": os.getloadavg()[0], "bare": bare}
    print(json.dumps({**about, "file_creation_us": created, **report}, indent=2))
    if options.plot is not None:
        options.plot.write_text(draw(report["levels"]))


def scenario() -> dict[str, Any]:
    """What the simulator answers: an edit, its report, a passing evaluation and a trace."""
    edit = {"name": "edit_file", "arguments": {"path": "answer.txt", "old": "bad", "new": "good"}}
    told = {"changes_made": "as asked", "spec_compliance": [], "verification": "grep", "remaining_gaps": ""}
    rules = [
        {"match": {"text": "Score the text"}, "answer": {"data": {"score": 7, "reason": "fine"}}},
        {"match": {"purpose": "build", "turn": 1}, "answer": {"tool_calls": [edit]}},
        {"match": {"purpose": "build"}, "answer": {"tool_calls": [{"name": "finish", "arguments": told}]}},
        {"match": {"persona": "round-evaluator"}, "answer": {"data": _evaluation()}},
        {"match": {"persona": "execution-trace-analyzer"}, "answer": {"data": _process()}},
    ]
    return {"rules": rules, "default": {"text": "done"}}


def _evaluation() -> dict[str, Any]:
    score = {"criterion": "E1", "score": 9, "reason": "as asked", "evidence": "good"}
    return {
        "criteria_interpretation": "The word counts.",
        "scores": [score],
        "findings": [],
        "preserve": [],
        "unexplored": [],
        "evidence_gaps": [],
        "next_tasks": None,
    }


def _process() -> dict[str, Any]:
    lists = ("key_learnings", "error_patterns", "wasted_effort", "effective_patterns", "recommendations")
    scores = [{"aspect": f"E{number}", "score": 7} for number in range(1, 8)]
    return {"scores": scores, "execution_overview": "Steady.", "avoidable_errors": 0, **{name: [] for name in lists}}


def _bare(simulator: int) -> dict[str, float]:
    """CPU of the bare SDK and of the simulator for one call, in milliseconds."""
    import psutil

    def served() -> float:
        times = psutil.Process(simulator).cpu_times()
        return float(times.user + times.system)

    before = served()
    line = [sys.executable, str(HERE / "_bare.py"), "openai", str(BARE_CALLS), str(BARE_WIDTH)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=300)
    sdk = float(json.loads(done.stdout.splitlines()[-1])["cpu_ms_per_call"])
    return {"sdk_ms_per_call": sdk, "server_ms_per_call": round((served() - before) * 1000 / BARE_CALLS, 3)}


async def _report(root: Path, options: argparse.Namespace, bare: dict[str, float]) -> dict[str, Any]:
    with _cluster(root) as settings:
        level = Level(settings, root)
        await level.run(1, options.sample)  # hosts, connections and imports are warm after this
        found = []
        for runs in options.runs:
            measured = await level.run(runs, options.sample)
            found.append({**measured, **floors(measured, options.latency, bare)})
            print(f"{runs} runs: {found[-1]['makespan']} s", file=sys.stderr, flush=True)
        await level.score(DENSE_WIDTH)
        return {"levels": found, "dense": await level.score(DENSE_CALLS)}


@contextmanager
def _cluster(root: Path) -> Iterator[Settings]:
    most = {"openai": {"max_in_flight": 4096}}
    flags = {"state_dir": str(root / "state"), "backends": most, "cluster": {"run_hosts": 16}}
    settings = load_settings(flags=flags, cwd=root)
    _start_ray()
    try:
        yield settings
    finally:
        ray_session.leave()


def _start_ray() -> None:
    """Ray gives a node half a minute to come up, which a machine with other work to do may miss."""
    for attempt in range(5):
        try:
            ray_session.join(private=True)
        except ClusterError:
            ray_session.leave()
            if attempt == 4:
                raise
        else:
            return


def floors(measured: dict[str, Any], latency: float, bare: dict[str, float]) -> dict[str, float]:
    """The least time the runs could take: the chain of waits, or the calls' CPU, whichever is longer."""
    calls, cores = measured["calls"], os.cpu_count() or 1
    cpu = calls * (2 * bare["sdk_ms_per_call"] + bare["server_ms_per_call"]) / 1000 / cores
    floor = max(CHAIN * latency, cpu)
    busy = sum(measured["cpu_seconds"].values()) / cores / measured["makespan"]
    return {
        "latency_floor": round(CHAIN * latency, 2),
        "cpu_floor": round(cpu, 2),
        "makespan_to_floor": round(measured["makespan"] / floor, 2),
        "cores_busy": round(busy, 2),
    }


class Level:
    """One number of runs at a time on the same warm cluster."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings, self._home = settings, home_of(settings)
        self._root = root
        self._driver = Driver(self._home)
        self._keeper = keeper_ref(self._home)
        (root / "work").mkdir()
        (root / "work" / "answer.txt").write_text("bad\n")

    async def run(self, runs: int, sample: float) -> dict[str, Any]:
        """Start `runs` runs together and wait for the last; returns what that took."""
        specs = [self._spec(number) for number in range(runs)]
        before, counted = look(), await self._counted()
        began = time.monotonic()
        async with watched(sample) as peak:
            outcomes = await asyncio.gather(*(self._one(spec) for spec in specs))
        took, after, counted_now = time.monotonic() - began, look(), await self._counted()
        endings = {str(one["ending"]) for one in outcomes}
        assert endings == {"converged"}, endings
        with Ledger.open(self._home.ledger_url) as ledger:
            calls = sum(len(ledger.attempts(spec.run)) for spec in specs)
        cpu = {kind: value - before.cpu.get(kind, 0.0) for kind, value in after.cpu.items()}
        grown = {kind: peak.memory.get(kind, 0.0) - before.memory.get(kind, 0.0) for kind in peak.memory}
        each = {name: counted_now[name] - counted[name] for name in counted}
        return {
            "runs": runs,
            "calls": calls,
            "makespan": round(took, 2),
            "calls_per_second": round(calls / took, 1),
            "memory_mib": round(total(peak.memory), 1),
            "memory_mib_per_run": round(total(grown) / runs, 2),
            "memory_mib_by_kind": {kind: round(value, 1) for kind, value in sorted(peak.memory.items())},
            "transactions_per_call": round(each["transactions"] / calls, 2),
            "operations_per_call": round(each["operations"] / calls, 2),
            "cpu_seconds": {kind: round(value, 2) for kind, value in sorted(cpu.items())},
            "cpu_ms_per_call": {kind: round(value / calls * 1000, 1) for kind, value in sorted(cpu.items())},
        }

    async def score(self, calls: int) -> dict[str, Any]:
        """One run that makes `calls` calls, many at once."""
        plan = ScorePlan(
            items=tuple(Item(id=f"{number}", text=f"text {number}") for number in range(calls)),
            instructions="Score the text.",
            backend=MODEL,
            side_by_side=DENSE_WIDTH,
        )
        pins = {"plan": plan.model_dump(mode="json"), **versions(self._settings)}
        spec = RunSpec(run=f"dense-{calls}", pipeline="score", pins=pins, caps={f"run:dense-{calls}": None})
        before, counted, began = look(memory=False), await self._counted(), time.monotonic()
        outcome = await self._one(spec)
        took, after, counted_now = time.monotonic() - began, look(memory=False), await self._counted()
        assert all(one["score"] == 7 for one in outcome["scored"])
        cpu = {kind: value - before.cpu.get(kind, 0.0) for kind, value in after.cpu.items()}
        return {
            "calls": calls,
            "calls_per_second": round(calls / took, 1),
            "transactions_per_call": round((counted_now["transactions"] - counted["transactions"]) / calls, 2),
            "operations_per_call": round((counted_now["operations"] - counted["operations"]) / calls, 2),
            "cpu_ms_per_call": {kind: round(value / calls * 1000, 2) for kind, value in sorted(cpu.items())},
        }

    async def _one(self, spec: Any) -> dict[str, Any]:
        await self._driver.start(spec)
        return await self._driver.watch(spec, lambda event: None)

    async def _counted(self) -> dict[str, int]:
        described = await ask(self._keeper, "describe", encode({}), within=60)
        return {name: int(described[name]) for name in ("transactions", "operations", "reads")}

    def _spec(self, number: int) -> Any:
        request = Request(
            task=f"Make the answer good, number {number}",
            prior_answer=str(self._root / "work"),
            criteria="E1: the answer is good",
            probes=("grep -q good answer.txt",),
            max_rounds=1,
            builders=1,
            candidates=1,
            build_backend=MODEL,
            eval_backends=(MODEL,),
            cwd=self._root,
        )
        spec = prepare_refine(request, self._settings).spec
        remember_plan(self._home, spec)
        return spec


if __name__ == "__main__":
    main()
