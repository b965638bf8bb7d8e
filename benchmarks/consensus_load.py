"""Many consensus runs at once through run host, backend host, ledger and lake, over real SDKs against the simulator.

    python benchmarks/consensus_load.py [--runs 100] [--latency 0.2]       how long, and how much CPU
    python benchmarks/consensus_load.py --study [--runs 100]               how right, at what cost

Prints one JSON object. In the first mode every run is five agents that answer differently and then agree; hosts have
held as many runs before, and figures are medians of the turns (TURNS in the environment, by default 5). In the second
the models know each question with a known probability, and only this program knows the right answers: what the product
decides is compared with them, under the ways of asking that `benchmarks/consensus.py` plays without calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks._disk import settle
from benchmarks._processes import SIMULATOR, look, total, used
from benchmarks.consensus import Agent, Question, wilson
from bessemer.actors._hosts import lake_ref
from bessemer.actors._wire import ask, encode
from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.settings import Settings, load_settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import versions
from bessemer.interfaces.simulator import running
from bessemer.pipelines.consensus import ConsensusPlan

HERE = Path(__file__).parent
PANEL = (
    "anthropic/claude-opus-4-6",
    "openai/gpt-5.4",
    "google/gemini-3.1-pro-preview",
    "anthropic/claude-haiku-4-5",
    "openai/gpt-5.4-mini",
)
ACCURACY, CORRELATION = 0.8, 0.3
ROUNDS = 2
TURNS = max(int(os.environ.get("TURNS", "5")), 1)
WAYS: dict[str, dict[str, Any]] = {
    "fast": {},
    "thrifty": {"pace": "thrifty"},
    "sequential": {"policy": "sequential"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--study", action="store_true")
    given = parser.parse_args()
    questions = [Question(1, n, [Agent(ACCURACY, 1.0)] * len(PANEL), CORRELATION) for n in range(given.runs)]
    rules = list(_known(questions)) if given.study else _agreeing()
    with tempfile.TemporaryDirectory(prefix="bsm-bench-") as folder:
        scenario = Path(folder, "scenario.yaml")
        scenario.write_text(yaml.safe_dump({"rules": rules}))
        with running(latency=str(given.latency), scenario=str(scenario)) as simulator:
            os.environ.update(simulator.environment)
            report = asyncio.run(_measure(Path(folder), given, questions))
    print(json.dumps(report, indent=2))


def _vote(label: int) -> dict[str, Any]:
    names = [f"answer-{n}" for n in range(1, len(PANEL))]
    ranking = [f"answer-{label}", *(name for name in names if name != f"answer-{label}")]
    ratings = [{"answer": name, "criterion": "overall", "score": 7} for name in ranking]
    return {"action": "vote", "reason": "read", "answer": None, "vote": ranking[0], "ranking": ranking[:1]} | {
        "ratings": ratings[:1]
    }


def _answer(text: str) -> dict[str, Any]:
    return {"action": "answer", "reason": "so it is", "answer": {"text": text, "files": []}}


def _rule(data: dict[str, Any], text: str, backend: str | None = None) -> dict[str, Any]:
    match = {"text": text, **({"backend": backend} if backend else {})}
    return {"match": match, "answer": {"data": data}}


def _stands(label: int, text: str) -> str:
    return rf"answer name=.answer-{label}.\n\{{.{{0,30}}{text}"


def _agreeing() -> list[dict[str, Any]]:
    """Five answers, then everybody for the first agent's."""
    later = [_rule(_vote(label), _stands(label, "choice-0")) for label in range(1, len(PANEL))]
    first = [_rule(_answer(f"choice-{n}"), "Give|Answer|answer", backend) for n, backend in enumerate(PANEL)]
    return [*later, _rule(_vote(1), "Answers of others"), *first]


def _known(questions: list[Question]) -> Iterator[dict[str, Any]]:
    """What each model takes for right. The scenario knows it for each question; which is right, it does not."""
    for number, question in enumerate(questions):
        where = rf"Question {number}\."
        for agent, backend in enumerate(PANEL):
            choice = _option(question, number, question.known(f"a{agent}", 2))
            for label in range(1, len(PANEL)):
                yield _rule(_vote(label), rf"(?s){where}.*{_stands(label, choice)}", backend)
    for number, question in enumerate(questions):
        where = rf"Question {number}\."
        for agent, backend in enumerate(PANEL):
            yield _rule(_vote(1 + agent % 2), rf"(?s){where}.*Answers of others.*name=.answer-2.", backend)
            yield _rule(_vote(1), rf"(?s){where}.*Answers of others", backend)
            yield _rule(_answer(_option(question, number, question.known(f"a{agent}"))), where, backend)


def _option(question: Question, number: int, meant: str) -> str:
    """The option as the models write it: no name tells which is right."""
    return f"option-{question.chance(f'named/{meant}/{number}').getrandbits(40):010x}"


async def _measure(folder: Path, given: Any, questions: list[Question]) -> dict[str, Any]:
    limits = {vendor: {"max_in_flight": 600} for vendor in ("anthropic", "openai", "google")}
    settings = load_settings(flags={"state_dir": str(folder / "state"), "backends": limits}, cwd=folder)
    await asyncio.to_thread(ray_session.join, private=True)
    try:
        crowd = Crowd(settings)
        await crowd.hold("warm", given.runs, {})
        if not given.study:
            created = await asyncio.to_thread(settle, folder)
            return {"file_creation_us": created, **await _turns(crowd, given)}
        found = {}
        for way, how in WAYS.items():
            # What the votes so far say of each agent is read once a minute; every way is to know all of them.
            await asyncio.sleep(61)
            held = await crowd.hold(way, given.runs, how)
            found[way] = _study(held, questions)
        return {"runs": given.runs, "agents": len(PANEL), "accuracy": ACCURACY, "correlation": CORRELATION, **found}
    finally:
        await asyncio.to_thread(ray_session.leave)


class Crowd:
    """Many runs of one home at once."""

    def __init__(self, settings: Settings) -> None:
        self._home, self._settings = home_of(settings), settings
        self._driver = Driver(self._home)

    async def hold(self, name: str, runs: int, how: dict[str, Any]) -> dict[str, Any]:
        pinned = versions(self._settings)
        specs = []
        for number in range(runs):
            plan = ConsensusPlan(task=f"Question {number}. Which option is right?", backends=PANEL, **how)
            run = f"{name}-{number}"
            pins = {"plan": plan.model_dump(mode="json"), **pinned}
            specs.append(RunSpec(run=run, pipeline="consensus", pins=pins, caps={f"run:{run}": None}))
        before, began = look(memory=False), time.monotonic()
        outcomes = await asyncio.gather(*(self._one(spec) for spec in specs))
        took = time.monotonic() - began
        await ask(lake_ref(self._home), "flush", encode({}), within=120)
        cpu = used(before, look(memory=False))
        return {
            "seconds": took,
            "cpu": total(cpu),
            "cpu_by_kind": cpu,
            "server_cpu": cpu[SIMULATOR],
            "outcomes": outcomes,
            "calls": sum(outcome["calls"] for outcome in outcomes),
        }

    async def _one(self, spec: RunSpec) -> dict[str, Any]:
        await self._driver.start(spec)
        return await self._driver.watch(spec, lambda event: None)


async def _turns(crowd: Crowd, given: Any) -> dict[str, Any]:
    bare = [await asyncio.to_thread(_bare_sdks, given.latency)]
    turns, undecided = [], 0
    for number in range(TURNS):
        held = await crowd.hold(f"load-{number}", given.runs, {})
        # The machine's pace changes within minutes, so the bare SDKs are measured before and after.
        bare.append(await asyncio.to_thread(_bare_sdks, given.latency))
        undecided += sum(outcome["ending"] != "decided" for outcome in held["outcomes"])
        turns.append(_load(held, statistics.mean(bare[-2:]), given))
    by_kind = [turn.pop("cpu_ms_by_kind") for turn in turns]
    kinds = sorted({kind for one in by_kind for kind in one})
    middle = {name: round(statistics.median(turn[name] for turn in turns), 2) for name in turns[0]}
    return {
        "runs": given.runs,
        "agents": len(PANEL),
        "calls": held["calls"],
        "undecided": undecided,
        **middle,
        "cpu_ms_by_kind": {kind: statistics.median(one.get(kind, 0.0) for one in by_kind) for kind in kinds},
        "turns": [turn["times_the_floor"] for turn in turns],
        "cores": os.cpu_count() or 1,
        "load_average": os.getloadavg()[0],
    }


def _load(held: dict[str, Any], sdk: float, given: Any) -> dict[str, Any]:
    """The makespan against its floor: two rounds of waiting, or twice the bare SDKs' CPU and the server's on all
    cores."""
    calls = held["calls"]
    server = 1000 * held["server_cpu"] / calls
    floor = max(ROUNDS * given.latency, calls * (2 * sdk + server) / 1000 / (os.cpu_count() or 1))
    return {
        "makespan_seconds": held["seconds"],
        "floor_seconds": floor,
        "times_the_floor": round(held["seconds"] / floor, 2),
        "cpu_ms_per_call": 1000 * held["cpu"] / calls,
        "bare_sdk_cpu_ms_per_call": sdk,
        "server_cpu_ms_per_call": server,
        "cpu_ms_by_kind": {
            kind: round(1000 * one / calls, 2) for kind, one in held["cpu_by_kind"].items() if one > 0.1
        },
    }


def _bare_sdks(latency: float) -> float:
    """CPU milliseconds of a bare SDK's call, on an average over the panel."""
    anthropic, openai, google = (_bare(vendor, latency) for vendor in ("anthropic", "openai", "google"))
    return (2 * anthropic + 2 * openai + google) / len(PANEL)


def _bare(vendor: str, latency: float) -> float:
    """CPU milliseconds of a bare SDK's call."""
    line = [sys.executable, str(HERE / "_bare.py"), vendor, "300", "100"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=300)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_ms_per_call"])


def _study(held: dict[str, Any], questions: list[Question]) -> dict[str, Any]:
    right = 0
    for number, outcome in enumerate(held["outcomes"]):
        answer = outcome["answer"] or {}
        right += answer.get("text") == _option(questions[number], number, questions[number].right)
    share, low, high = wilson(right, len(questions))
    cost = sum(outcome["cost"] for outcome in held["outcomes"]) / 1_000_000
    return {
        "accuracy": round(share, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "calls_per_question": round(held["calls"] / len(questions), 3),
        "usd_per_right_decision": round(cost / right, 6) if right else None,
    }


if __name__ == "__main__":
    main()
