"""A project whose repair takes two calls of a tenth of a cent each, and queues of such repairs, run as users do."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from bessemer.cluster.ledger import TaskRow
from tests.crash._world import World, read_books

CALL = 1000
"""Micro-dollars."""
CALLS = 2
SLOW_SECONDS = 3.0
FLAGS = ["--prior-answer", "work", "--build-backend", "scripted/b", "--eval-backends", "probes"]
LIMITS = ["--probe", "grep -q good answer.txt", "--max-rounds", "1", "--builders", "1"]


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _rule(text: str, turn: int, latency: float, *calls: dict[str, Any]) -> dict[str, Any]:
    match = {"purpose": "build", "turn": turn, **({"text": text} if text else {})}
    return {"match": match, "answer": {"tool_calls": list(calls), "latency": latency}}


def write_scenario(path: Path) -> None:
    """Tasks with `slow` in them take their time; those with `poor` change nothing."""
    edit = _call("edit_file", path="answer.txt", old="bad", new="good")
    finish = _call("finish", changes_made="as asked", spec_compliance=[], verification="grep", remaining_gaps="")
    rules = [
        _rule("poor", 1, 0.01, finish),
        _rule("slow", 1, SLOW_SECONDS, edit),
        _rule("slow", 2, SLOW_SECONDS, finish),
        _rule("", 1, 0.01, edit),
        _rule("", 2, 0.01, finish),
    ]
    path.write_text(yaml.safe_dump({"rules": rules, "default": {"text": "done"}}, sort_keys=False))


class Night(World):
    """A folder with a queue, on the session's cluster."""

    def __init__(self, root: Path, address: str) -> None:
        super().__init__(root, address, latency=0.0)
        (root / "work").mkdir()
        (root / "work" / "answer.txt").write_text("bad\n")
        write_scenario(root / "scenario.yaml")
        path = root / ".bessemer" / "config.yaml"
        config = json.loads(path.read_text())
        config["backends"]["prices"] = {"overrides": {"scripted/*": {"call": "0.001"}}}
        config["queue"] = {"stop_seconds": 60}
        path.write_text(json.dumps(config))

    def add(self, *tasks: str, flags: tuple[str, ...] = ()) -> list[str]:
        """Queue tasks; their ids."""
        told = self.told("queue", "add", *tasks, *FLAGS, *LIMITS, *flags, "--json")
        return [json.loads(line)["task"] for line in told.splitlines()]

    def run(self, *flags: str) -> subprocess.Popen[str]:
        """Start running the queue."""
        return self.command("queue", "run", "--json", *flags)

    def told(self, *words: str, code: int = 0) -> str:
        """What a command that needs no cluster says."""
        line = [*self.base_command(), *words]
        done = subprocess.run(line, cwd=self.root, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    @property
    def tasks(self) -> dict[str, TaskRow]:
        with self.ledger as ledger:
            return {row.task: row for row in ledger.tasks("default")}

    @property
    def states(self) -> dict[str, str]:
        return {task: row.state for task, row in self.tasks.items()}

    def bought_once(self, run: str) -> None:
        """The ledger and the vendor's books agree that no call of a run was sent twice or bought after its answer."""
        with self.ledger as ledger:
            attempts = ledger.attempts(run)
        served = Counter(str(one["attempt"]) for one in read_books(self.books, run))
        assert set(served) <= {one.attempt for one in attempts}
        assert set(served.values()) <= {1}
        calls: dict[tuple[str, int], list[str]] = {}
        for one in attempts:
            calls.setdefault((one.path, one.index), []).append(one.state)
        assert len(calls) == CALLS, calls
        # An answer that came while the run changed hands settles late, and is the call's answer all the same.
        bought = [[state.startswith("settled") for state in states] for states in calls.values()]
        assert all(found[-1] and not any(found[:-1]) for found in bought), calls


def records(process: subprocess.Popen[str], code: int, seconds: float = 240.0) -> list[dict[str, Any]]:
    """What a runner that was to end with `code` wrote."""
    out, _ = process.communicate(timeout=seconds)
    # Ray's raylet tells a driver of a killed worker on its standard output.
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert process.returncode == code, (process.returncode, found[-5:])
    return found
