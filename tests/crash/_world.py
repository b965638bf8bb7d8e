"""Drivers as real processes, hosts that can be killed, and the books that must be right afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import ray

from bessemer.actors._wire import decode
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.lake import Lake
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.records import TABLES
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._home import home_of
from tests.conftest import write_project
from tests.crash._scenario import write_scenario

HOSTS = ("run/", "ledger", "backend/", "builder/", "prober/", "reviewer/", "lake")
RUN_SECONDS = 240.0
_KEPT = (".bessemer", "lake")


class World:
    """One project with its state directory, on the session's cluster."""

    def __init__(self, root: Path, address: str, *, latency: float) -> None:
        self.root = root
        self.address = address
        self.latency = latency
        self.project = root / "project"
        self.books = root / "books.jsonl"
        (root / ".bessemer").mkdir()
        self._write()

    def _write(self) -> None:
        write_project(self.project)
        write_scenario(self.root / "scenario.yaml", latency=self.latency)
        config = {
            "backends": {"scripted": {"scenario": str(self.root / "scenario.yaml"), "books": str(self.books)}},
            "ledger": {"lease_seconds": 6},
        }
        (self.root / ".bessemer" / "config.yaml").write_text(json.dumps(config))

    def renew(self) -> None:
        """Everything as at first for the next test, but the hosts that are up, and the ledger and lake they write."""
        for path in [*self.root.iterdir(), *(self.root / ".bessemer").iterdir()]:
            if path.is_dir() and path.name not in _KEPT:
                shutil.rmtree(path)
            elif path.is_file() and not path.name.startswith("ledger"):
                path.unlink()
        self._write()

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(f"sqlite:///{self.root / '.bessemer' / 'ledger.db'}")

    @property
    def lake(self) -> Lake:
        return Lake(str(self.root / ".bessemer" / "lake"))

    def refine(self, *more: str, build: str = "scripted/b", judge: str = "scripted/j") -> subprocess.Popen[str]:
        """Start a refinement as a user would."""
        flags = ["--prior-answer", "project", "--build-backend", build, "--eval-backends", judge]
        return self.command("refine", "Make the tests pass", *flags, "--probe", "pytest", "--json", *more)

    def resume(self, run: str) -> subprocess.Popen[str]:
        return self.command("run", "resume", run, "--json")

    def command(self, *words: str) -> subprocess.Popen[str]:
        line = [*self.base_command(), *words, "--address", self.address]
        log = (self.root / "driver.log").open("a")
        return subprocess.Popen(line, cwd=self.root, stdout=subprocess.PIPE, stderr=log, text=True)

    @staticmethod
    def base_command() -> list[str]:
        return [sys.executable, "-m", "bessemer.interfaces.cli"]

    def hosts(self) -> dict[str, int]:
        """Process ids of this home's hosts by name, as far as they answer."""
        found = {}
        ours = self.namespaces()
        for one in ray.util.list_named_actors(all_namespaces=True):
            if one["namespace"] in ours:
                with contextlib.suppress(Exception):
                    handle = ray.get_actor(one["name"], namespace=one["namespace"])
                    found[one["name"]] = decode(ray.get(handle.describe.remote(b"{}"), timeout=3))["ok"]["pid"]
        return found

    def namespaces(self) -> set[str]:
        """Ray namespaces of this home."""
        home = home_of(load_settings(cwd=self.root))
        return {home.ledger_namespace, home.host_namespace}

    def close(self) -> None:
        """End this home's hosts, so that the session's cluster stays small."""
        for one in ray.util.list_named_actors(all_namespaces=True):
            if one["namespace"] in self.namespaces():
                with contextlib.suppress(Exception):
                    ray.kill(ray.get_actor(one["name"], namespace=one["namespace"]), no_restart=True)


def launched(process: subprocess.Popen[str]) -> str:
    """Id of the run that a driver announced."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the driver ended before it announced its run"
    return str(json.loads(line)["run"])


def done(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The last record of a driver that ran to its end."""
    out, _ = process.communicate(timeout=RUN_SECONDS)
    return dict(json.loads(out.strip().splitlines()[-1]))


def tree_of(outcome: dict[str, Any]) -> str:
    """Hash of the final answer's files."""
    root = Path(outcome["result"])
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return content_hash([[str(path.relative_to(root)), content_hash(path.read_bytes())] for path in files])


def kill(pid: int) -> bool:
    """kill -9, by process id; False where it was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def lake_keys(lake: Lake, run: str) -> Counter[tuple[str, ...]]:
    """What identifies each lake row of a run, without times and costs of effort."""
    keys: Counter[tuple[str, ...]] = Counter()
    names = ("path", "index", "attempt", "round", "criterion", "persona", "finding_id", "probe", "verdict", "ending")
    for table in TABLES:
        for row in lake.table(table).to_pylist():
            if row["run"] == run:
                keys[(table, *(str(row.get(name, "")) for name in names))] += 1
    return keys


def read_books(path: Path, run: str) -> list[dict[str, Any]]:
    """What the scripted vendor served for a run."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if str(line["attempt"]).startswith(f"{run}|")]
