"""What schedules run in: a small disk, a clock, vendors, a database, a cluster of its own, and drivers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bessemer.cluster import ray_session
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.home import Home
from bessemer.cluster.lake import Lake
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.settings import Settings, load_settings
from bessemer.interfaces._home import home_of
from bessemer.interfaces.simulator import Simulator, running
from chaos.clock import Clock
from chaos.disk import Disk
from chaos.drivers import Drivers
from chaos.processes import MARK
from chaos.schedule import Ground
from chaos.works import write_project, write_scenario
from tests._postgresql import Postgresql, programs

LATENCY = "uniform:0.05-0.25"
START_SECONDS, START_TRIES = 120.0, 4
PATIENT = {"RAY_raylet_start_wait_time_s": "90", "RAY_agent_register_timeout_ms": "85000"}
"""A machine that is busy with other work is too slow for Ray's own patience."""
SEED = 7
"""Of the vendors: the same for every schedule, so that one undisturbed run is the measure of all of its kind."""


class World:
    """One session's surroundings. A home in it is where some schedules' runs live together."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="bsc-"))
        self.root.chmod(0o711)
        self._stack = contextlib.ExitStack()
        # Ray's files and the note of the warm cluster are the world's own.
        given = {"TMPDIR": str(self.root), MARK: str(self.root), **PATIENT}
        self._before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        tempfile.tempdir = None
        ray_session.START_SECONDS = START_SECONDS
        self.database: Postgresql | None = None
        self._homes = 0
        self._starting = threading.Lock()
        self.clock = Clock(self.root)
        self.disk = Disk(self.root)
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            self.disk.close()
            raise

    def _set_up(self) -> None:
        write_project(self.root / "project")
        write_scenario(self.root / "scenario.yaml")
        self.books = self.root / "books.jsonl"
        given = {"scenario": str(self.root / "scenario.yaml"), "books": str(self.books)}
        self.vendor: Simulator = self._stack.enter_context(running(seed=SEED, latency=LATENCY, **given))
        os.environ.update(self.vendor.environment)
        self.drivers = Drivers(self.root / "drivers.log")

    def database_now(self) -> Postgresql:
        """The database server, started when it is first needed. Raises RuntimeError where there is none."""
        if self.database is None:
            folder = programs()
            if folder is None:
                raise RuntimeError("no PostgreSQL server is installed; the extra `dev` brings one")
            with self.clock.of_others():
                self.database = Postgresql(folder)
                self.database.start()
        return self.database

    def start_database(self) -> None:
        with self.clock.of_others():
            self.database_now().start()

    def start_cluster(self) -> None:
        """See to it that there is a cluster, as `bessemer cluster up` does."""
        with self._starting:
            if not ray_session.warm_cluster():
                self.drivers.retire()
                self._start_cluster()

    def _start_cluster(self) -> None:
        for left in reversed(range(START_TRIES)):
            try:
                with self.clock.of_hosts():
                    ray_session.start_warm(os.cpu_count())
                return
            except ClusterError:
                if not left:
                    raise

    def stop_cluster(self) -> None:
        """End it, as `bessemer cluster down` does."""
        ray_session.stop_warm()

    def new_home(self, ground: Ground) -> Place:
        """An empty home on that ground."""
        self._homes += 1
        url = self.database_now().new_url() if ground == "postgresql" else ""
        return Place(self, self.disk.path / f"home{self._homes}", url)

    def served(self) -> list[dict[str, Any]]:
        """Every request that the vendors saw."""
        return [json.loads(line) for line in self.books.read_text().splitlines()] if self.books.exists() else []

    def kept(self) -> set[int]:
        """Processes that are the world's own."""
        return self.drivers.pids | {self.vendor.pid} | ({self.database.pid} if self.database else set())

    def close(self, *, keep: bool = False) -> None:
        """End everything; with `keep` the files stay, those of the disk included."""
        self.drivers.close()
        self.stop_cluster()
        if self.database is not None:
            self.database.close()
        self._stack.close()
        if keep:
            self.disk.mend()
            shutil.copytree(self.disk.path, self.root / "kept", symlinks=True, ignore_dangling_symlinks=True)
        self.disk.close()
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        tempfile.tempdir = None
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)


class Place:
    """A home: its settings, ledger and lake."""

    def __init__(self, world: World, folder: Path, ledger_url: str) -> None:
        self.folder = folder
        (folder / ".bessemer").mkdir(parents=True)
        config = {
            "backends": {
                "hosts": 1,
                "retry": {"attempts": 60, "seconds": 240, "lost_resends": 12},
            },
            "ledger": {"lease_seconds": 6, "url": ledger_url, "patience": 120},
        }
        (folder / ".bessemer" / "config.yaml").write_text(json.dumps(config))
        shutil.copytree(world.root / "project", folder / "project")
        self.settings: Settings = load_settings(cwd=folder)
        self.home: Home = home_of(self.settings)

    def ledger(self) -> Ledger:
        """The ledger, asked again for a while where it does not answer."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return Ledger.open(self.home.ledger_url)
            except Exception:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def lake(self) -> Lake:
        return Lake(self.home.lake_url)
