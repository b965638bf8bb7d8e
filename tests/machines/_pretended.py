"""Ray nodes on one machine, where the kernel permits no network namespaces: they share folders and cannot be cut."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from tests.machines._machines import IMPATIENT

OBJECT_STORE = 120_000_000
TRIES = 4


class PretendedMachines:
    """The same interface as `Machines`, as far as one machine goes."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bsm-m-"))
        token = self._folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.address = ""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "TMPDIR": str(self._folder),
            **IMPATIENT,
        }
        self._raylets: list[int] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self, workers: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.machines._pretended", str(len(workers))],
            env=self.environment,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if line.startswith("{")), None)
        if line is None:
            raise RuntimeError("Ray's nodes did not start; is this machine too busy?")
        told = json.loads(line)
        self.address, self._raylets = told["address"], told["raylets"]

    def places_of(self, run: str) -> list[Path]:
        """Where workers keep work of a run."""
        return list(self._folder.glob(f"*/apart/*/{run}/repository"))

    def kill_raylet(self, number: int) -> None:
        psutil.Process(self._raylets[number]).kill()

    def close(self) -> None:
        if self._process is not None:
            children = psutil.Process(self._process.pid).children(recursive=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.communicate("", timeout=30)
            self._process.kill()
            for child in children:
                with contextlib.suppress(psutil.Error):
                    child.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _add(cluster: Any) -> Any:
    """Ray gives a node half a minute to come up, which a machine with other work to do may miss."""
    for attempt in range(TRIES):
        try:
            return cluster.add_node(num_cpus=2, resources={"builder": 2}, object_store_memory=OBJECT_STORE)
        except Exception:
            if attempt == TRIES - 1:
                raise
    return None


def main(workers: int) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 4, "object_store_memory": OBJECT_STORE}, shutdown_at_exit=True
    )
    nodes = [_add(cluster) for _ in range(workers)]
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
