"""A project whose ledger and lake may be a server's."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

from bessemer.cluster.lake import Lake
from bessemer.cluster.ledger import Ledger
from tests._s3 import CREDENTIALS, S3
from tests.crash._world import World
from tests.machines._machines import Machines, permitted
from tests.machines._pretended import PretendedMachines


class Stage(World):
    """`ledger_url` and `lake_url` as a team would set them; empty is the folder's own."""

    def __init__(
        self, root: Path, address: str, *, ledger_url: str = "", lake_url: str = "", s3: S3 | None = None
    ) -> None:
        super().__init__(root, address, latency=0.2)
        self._ledger_url, self._lake_url = ledger_url, lake_url
        self._storage = s3.storage if s3 is not None and lake_url else {}
        self.configure(ledger={"lease_seconds": 6, "url": ledger_url}, lake={"url": lake_url, "storage": self._storage})
        (root / ".env").write_text("".join(f"{name}={value}\n" for name, value in CREDENTIALS.items()))

    def configure(self, **sections: dict[str, Any]) -> None:
        path = self.root / ".bessemer" / "config.yaml"
        path.write_text(json.dumps(json.loads(path.read_text()) | sections))

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self._ledger_url) if self._ledger_url else super().ledger

    @property
    def lake(self) -> Lake:
        return Lake(self._lake_url, self._storage) if self._lake_url else super().lake

    def events(self, run: str) -> list[dict[str, Any]]:
        path = self.root / ".bessemer" / "runs" / run / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


def machines_for(hidden: tuple[Path, ...]) -> Machines | PretendedMachines:
    """Machines in namespaces, whose workers see `hidden` empty; where there are none, Ray nodes of this machine."""
    if why := os.environ.get("BESSEMER_TEST_ONE_MACHINE") or permitted():
        warnings.warn(f"several Ray nodes on one machine instead of several machines: {why}", stacklevel=2)
        return PretendedMachines()
    return Machines(hidden=hidden)


class Team(Stage):
    """A stage whose commands run on the head of several machines."""

    def __init__(self, root: Path, machines: Machines | PretendedMachines, **places: Any) -> None:
        self.machines = machines
        super().__init__(root, machines.address, **places)

    def command(self, *words: str) -> subprocess.Popen[str]:
        line = [*self.base_command(), *words, "--address", self.machines.address]
        log = (self.root / "driver.log").open("a")
        return subprocess.Popen(
            line, cwd=self.root, env=self.machines.environment, stdout=subprocess.PIPE, stderr=log, text=True
        )

    def evaluate(self, *probes: str) -> subprocess.Popen[str]:
        """Judge the project by probes alone."""
        return self.command("evaluate", "project", "--eval-backends", "probes", "--json", "--probe", *probes)

    def actors(self) -> list[dict[str, Any]]:
        """What `cluster status` says of every host."""
        text, _ = self.command("cluster", "status", "--json").communicate(timeout=180)
        return list(json.loads(text)["actors"])

    def said(self) -> str:
        return (self.root / "driver.log").read_text()
