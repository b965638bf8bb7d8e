"""Commands for a cluster that this machine is no part of, over Ray Client, with the cluster's token."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

# Two heads on one machine would choose the same ports for their clients' processes.
pytestmark = pytest.mark.xdist_group("ray-client")

BUGGY, RIGHT = "def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n"
TESTS = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
REFINE = ["refine", "Fix add", "--build-backend", "scripted/b", "--eval-backends", "probes"]
CRITERIA = ["--criteria", "E1: all tests pass"]
FINISH = {"changes_made": "fixed", "spec_compliance": [], "verification": "tests", "remaining_gaps": ""}


class Cluster:
    """A head with Ray Client's server, and a laptop's folder beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "calc"
        self.folders = root / "folders"
        token = root / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        ports = [free_port(), free_port()]
        self.address = f"ray://127.0.0.1:{ports[1]}"
        own = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "BESSEMER_"))}
        self.environment = {**own, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        calls = [{"name": "write_file", "arguments": {"path": "calc.py", "content": RIGHT}}]
        rules = [
            {"match": {"purpose": "build", "turn": 1}, "answer": {"tool_calls": calls, "latency": 1.0}},
            {
                "match": {"purpose": "build", "turn": 2},
                "answer": {"tool_calls": [{"name": "finish", "arguments": FINISH}]},
            },
        ]
        scenario = root / "scenario.yaml"
        scenario.write_text(yaml.safe_dump({"rules": rules}))
        there = {"BESSEMER_SCENARIO": str(scenario), "BESSEMER_FOLDERS": str(self.folders), "HOME": str(root)}
        # As on a machine of its own: nothing of it is found by those who look on this one.
        there |= {"TMPDIR": str(root), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_raylet_start_wait_time_s": "120"}
        there |= {"GRPC_ENABLE_FORK_SUPPORT": "0"}
        line = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={ports[0]}"]
        line += [f"--ray-client-server-port={ports[1]}", "--node-ip-address=127.0.0.1", "--num-cpus=2"]
        line += [f"--temp-dir={root / 'r'}", "--include-dashboard=false", "--disable-usage-stats"]
        line += ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={80 * 2**20}"]
        with (root / "head.log").open("wb") as log:
            self._head = subprocess.Popen(
                line, stdout=log, stderr=log, env={**self.environment, **there}, cwd=root, start_new_session=True
            )

    def write(self, code: str = BUGGY) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "calc.py").write_text(code)
        (self.folder / "test_calc.py").write_text(TESTS)

    def command(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "bessemer.interfaces.cli", *words, "--address", self.address]
        own = {**self.environment, **environment}
        pipe = subprocess.PIPE
        return subprocess.Popen(line, cwd=self.folder, env=own, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str, **environment: str) -> tuple[int, str, str]:
        process = self.command(*words, **environment)
        out, err = process.communicate(timeout=150)
        return process.returncode, out, err

    def runs(self) -> list[dict[str, Any]]:
        code, out, err = self.run("run", "list", "--json")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    def wait(self) -> None:
        until = time.monotonic() + 120
        # Ray Client's server begins to listen after Ray says that the head is up.
        while not answers(int(self.address.rpartition(":")[2])):
            assert self._head.poll() is None and time.monotonic() < until, (self.root / "head.log").read_text()
            time.sleep(0.2)

    def end(self) -> None:
        """End every process of the head's, by its id."""
        mark = str(self.root)
        for process in psutil.process_iter():
            try:
                if mark in " ".join(process.cmdline()) or mark in process.environ().get("HOME", ""):
                    process.kill()
            except psutil.Error:
                continue
        self._head.wait(timeout=30)


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bsl", ignore_cleanup_errors=True) as root:
        made = Cluster(Path(root))
        try:
            made.wait()
            yield made
        finally:
            made.end()


def test_a_folder_is_refined_there_and_what_changed_comes_back(cluster: Cluster) -> None:
    cluster.write()
    (cluster.folder / ".env").write_text("ANTHROPIC_API_KEY=not-for-others\n")
    code, out, err = cluster.run(*REFINE, *CRITERIA, "--max-rounds", "1", "--apply", "--json")
    last = json.loads(out.splitlines()[-1])
    assert last.get("changed_files") == ["calc.py"], (last, err)
    assert code == last["exit_code"]
    assert (cluster.folder / "calc.py").read_text() == RIGHT
    assert str(cluster.folders) in err
    assert not list(cluster.folders.rglob(".env"))


@pytest.mark.long
def test_runs_are_listed_and_taken_out_from_here(cluster: Cluster) -> None:
    cluster.write()
    code, out, err = cluster.run(*REFINE, *CRITERIA, "--max-rounds", "1")
    assert code in (0, 1), out + err
    run = cluster.runs()[0]["run"]
    assert cluster.run("run", "export", run, "--to", "taken")[0] == 0
    assert (cluster.folder / "taken" / "calc.py").read_text() == RIGHT
    assert (cluster.folder / "calc.py").read_text() == BUGGY


@pytest.mark.long
def test_wrong_usage_is_told_with_its_exit_code(cluster: Cluster) -> None:
    cluster.write()
    code, out, err = cluster.run("refine", "--bogus", "--json")
    assert (code, out) == (2, "") or json.loads(out.splitlines()[-1])["exit_code"] == 2
    assert "--bogus" in err


@pytest.mark.long
def test_ctrl_c_stops_the_run_there(cluster: Cluster) -> None:
    cluster.write()
    process = cluster.command(*REFINE, *CRITERIA)
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "resume with: bessemer run resume" in err
    assert cluster.runs()[0]["status"] == "interrupted"


@pytest.mark.long
def test_a_detached_run_goes_on_without_us_and_is_attached_to(cluster: Cluster) -> None:
    cluster.write()
    assert cluster.run(*REFINE, *CRITERIA, "--detach")[0] == 0
    run = cluster.runs()[0]["run"]
    code, out, err = cluster.run("run", "attach", run, "--json")
    assert json.loads(out.splitlines()[-1]).get("run") == run, (out[-800:], err)
    assert code in (0, 1)


@pytest.mark.long
def test_a_laptop_that_goes_away_finds_what_was_written_meanwhile(cluster: Cluster) -> None:
    cluster.write()
    process = cluster.command(*REFINE, *CRITERIA, "--max-rounds", "1", "--apply")
    assert process.stderr is not None
    assert any("round 1" in line for line in process.stderr)
    process.kill()
    process.communicate()
    until = time.monotonic() + 60
    while (cluster.folder / "calc.py").read_text() == BUGGY:
        assert time.monotonic() < until
        cluster.run("run", "list")
    assert (cluster.folder / "calc.py").read_text() == RIGHT


@pytest.mark.long
def test_another_token_and_none_are_refused_in_one_line(cluster: Cluster, tmp_path: Path) -> None:
    cluster.write()
    other = tmp_path / "token"
    other.write_text(secrets.token_hex(32))
    for environment in ({"RAY_AUTH_TOKEN_PATH": str(other)}, {"RAY_AUTH_MODE": "disabled"}):
        code, _, err = cluster.run("run", "list", **environment)
        assert (code, err.count("\n")) == (5, 1)
        assert "RAY_AUTH_TOKEN_PATH" in err
