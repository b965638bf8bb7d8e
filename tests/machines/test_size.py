"""Two dozen builds and a dozen consensus evaluations at once on three machines, against the vendors' own wire formats.

The work and what must hold of it are those of `chaos`; here links are cut and machines die.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.lake import Lake
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.settings import load_settings
from bessemer.cluster.workspace import SnapshotStore
from bessemer.interfaces._home import home_of
from bessemer.interfaces.simulator import Simulator, running
from chaos import works
from chaos.evidence import Evidence, from_lake, from_ledger, served_for
from chaos.invariants import complaints
from chaos.schedule import Work
from tests._postgresql import Postgresql
from tests._s3 import S3
from tests.machines._machines import Machines
from tests.machines._pretended import PretendedMachines
from tests.machines._stage import machines_for

pytestmark = [pytest.mark.machines, pytest.mark.long, pytest.mark.timeout(1500)]

BUILDS, PANELS = 24, 12
RUN_SECONDS = 900.0
LATENCY = "0.2"


class Party:
    """Three machines, the runs on them, and the driver that may die."""

    def __init__(self, root: Path, machines: Machines | PretendedMachines, simulator: Simulator, **places: Any) -> None:
        self.root, self.machines, self.simulator = root, machines, simulator
        machines.environment.update(simulator.environment)
        works.write_project(root / "project")
        self.settings = load_settings(flags={"state_dir": str(root / "state"), **places}, cwd=root)
        self.home = home_of(self.settings)
        self.results = root / "results"
        self.results.mkdir()
        kinds = [Work(kind="refine", size=1)] * BUILDS + [Work(kind="consensus", size=3)] * PANELS
        self.works = {f"r{number:02}-{work.kind}": work for number, work in enumerate(kinds)}

    def order(self) -> None:
        """Write down what the driver is to do."""
        specs = [works.spec_of(work, run, {}, self.root, self.settings) for run, work in self.works.items()]
        order = {
            "home": self.home.model_dump(mode="json"),
            "address": self.machines.address,
            "results": str(self.results),
            "specs": [spec.model_dump(mode="json") for spec in specs],
        }
        (self.root / "order.json").write_text(json.dumps(order))

    def drive(self) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "tests.machines._party", str(self.root / "order.json")]
        with (self.root / "driver.log").open("ab") as log:
            return subprocess.Popen(line, env=self.machines.environment, stdout=log, stderr=log, cwd=Path.cwd())

    def served(self, count: int) -> None:
        """Wait until the vendors were asked so often."""
        deadline = time.monotonic() + RUN_SECONDS
        while len(self.simulator.books()) < count:
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.2)

    def said(self) -> str:
        return (self.root / "driver.log").read_text()[-3000:]

    def evidence(self) -> Evidence:
        runs = list(self.works)
        found = {path.stem: json.loads(path.read_text()) for path in self.results.glob("*.json")}
        errors = self.results / "errors.txt"
        ledger = Ledger.open(self.home.ledger_url)
        return Evidence(
            scope="none",
            cap=None,
            served=served_for(self.simulator.books(), runs),
            results={run: works.essence(self.works[run], found[run]) for run in found},
            expected=self.expected(found),
            unended=[run for run in runs if run not in found],
            errors=errors.read_text().splitlines() if errors.exists() else [],
            lake=from_lake(Lake(self.home.lake_url, self.home.lake_storage), runs),
            **from_ledger(ledger, runs),
        )

    def expected(self, found: dict[str, Any]) -> dict[str, Any]:
        """What all runs of a kind came to, which must be one thing: that of the first."""
        first: dict[str, Any] = {}
        for run, outcome in found.items():
            first.setdefault(self.works[run].kind, works.essence(self.works[run], outcome))
        return {run: first[self.works[run].kind] for run in found}


@pytest.fixture
def party(s3_server: S3, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch) -> Iterator[Party]:
    root = Path(tempfile.mkdtemp(prefix="bsm-t-"))
    machines = machines_for(hidden=(root / "project", root / "state"))
    works.write_scenario(root / "scenario.yaml")
    try:
        with running(scenario=str(root / "scenario.yaml"), latency=LATENCY) as simulator:
            for name, value in simulator.environment.items():
                monkeypatch.setenv(name, value)
            party = Party(
                root,
                machines,
                simulator,
                ledger={"url": postgresql.new_url(), "lease_seconds": 6},
                lake={"url": s3_server.new_url(), "storage": s3_server.storage},
                workspace={"url": s3_server.new_url(), "storage": s3_server.storage},
            )
            machines.start(("w1", "w2"))
            party.order()
            yield party
    finally:
        machines.close()
        shutil.rmtree(root, ignore_errors=True)


def test_every_run_ends_and_nothing_is_bought_twice(party: Party) -> None:
    began = time.monotonic()
    driver = party.drive()
    machines = party.machines
    try:
        party.served(30)
        if isinstance(machines, Machines):
            machines.cut(0)
        party.served(50)
        driver.send_signal(signal.SIGKILL)
        driver.wait(30)
        party.served(60)
        machines.kill_raylet(1)
        driver = party.drive()
        time.sleep(5)
        if isinstance(machines, Machines):
            machines.mend(0)
        assert driver.wait(RUN_SECONDS) == 0, party.said()
    finally:
        driver.kill()
        driver.wait(30)
    seen = party.evidence()
    states = {state: sum(one.state == state for one in seen.attempts) for state in {one.state for one in seen.attempts}}
    rows = sum(sum(keys.values()) for keys in seen.lake.values())
    elsewhere = sum(bool(machines.places_of(run)) for run in party.works)
    print(
        f"{len(seen.runs)} runs in {time.monotonic() - began:.0f} s: {len(seen.served)} requests served, "
        f"attempts {states}, {rows} lake rows, {elsewhere} runs worked on other machines, "
        f"broke off {len(seen.errors)} times",
        file=sys.stderr,
    )
    assert complaints(seen) == {}
    assert elsewhere
    store = party.settings.workspace
    if store.url:
        kept = SnapshotStore(store.url, store.storage)
        assert [name for run in party.works for name in kept.names(run)] == []
