"""A head and workers that share nothing but a network: namespaces of the kernel's, each with folders of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests._postgresql import free_port

START_SECONDS = 300.0
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
SMALL = ["--object-store-memory=120000000", "--disable-usage-stats", "--include-log-monitor=false"]
IMPATIENT = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_raylet_start_wait_time_s": "240",
}
"""Ray takes a machine for dead after about ten seconds instead of a minute."""


def permitted() -> str:
    """Why this machine cannot have network namespaces; empty where it can."""
    name = f"bsm-try-{os.getpid()}"
    try:
        for command in (["ip", "netns", "add", name], ["ip", "link", "add", f"bt{os.getpid()}", "type", "bridge"]):
            subprocess.run(command, check=True, capture_output=True, timeout=10)
        return ""
    except (OSError, subprocess.SubprocessError) as error:
        return f"network namespaces are not permitted here ({error})"
    finally:
        for command in (["ip", "netns", "del", name], ["ip", "link", "del", f"bt{os.getpid()}"]):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(command, check=False, capture_output=True, timeout=10)


class Machines:
    """A bridge with the head on it, and workers behind links that can be cut."""

    def __init__(self, hidden: tuple[Path, ...]) -> None:
        """`hidden` are folders of the head's that every worker sees empty."""
        self._net = 1 + os.getpid() % 250
        self._tag = f"b{os.getpid() % 100_000}"
        self._hidden = hidden
        self._folder = Path(tempfile.mkdtemp(prefix="bsm-m-"))
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        (self._folder / "ray").mkdir()
        self._token = self._folder / "token"
        self._token.write_text(secrets.token_hex(32))
        self._token.chmod(0o600)
        self.host = f"10.213.{self._net}.1"
        self.address = f"{self.host}:{free_port()}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token),
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            **IMPATIENT,
        }

    def start(self, workers: tuple[str, ...]) -> None:
        self._ip("link", "add", self._tag, "type", "bridge")
        self._ip("addr", "add", f"{self.host}/24", "dev", self._tag)
        self._ip("link", "set", self._tag, "up")
        head = ["start", "--head", f"--node-ip-address={self.host}", f"--port={self.address.rpartition(':')[2]}"]
        more = ["--include-dashboard=false", "--num-cpus=4", f"--temp-dir={self._folder / 'ray'}", "--block"]
        self._begin("head", [*RAY, *head, *more, *SMALL])
        # One after the other: Ray gives up a machine that is not there after 30 s, and a busy one needs most of them.
        self._wait_for(1)
        for number, name in enumerate(workers):
            self._start_worker(number, name)
            self._wait_for(2 + number)

    def _start_worker(self, number: int, name: str) -> None:
        space, outer, inner = f"{self._tag}-{name}", f"{self._tag}o{number}", f"{self._tag}i{number}"
        self._ip("netns", "add", space)
        self._ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        self._ip("link", "set", inner, "netns", space)
        self._ip("link", "set", outer, "master", self._tag, "up")
        self._ip("-n", space, "addr", "add", f"{self._address_of(number)}/24", "dev", inner)
        self._ip("-n", space, "link", "set", inner, "up")
        self._ip("-n", space, "link", "set", "lo", "up")
        private = self._folder / name
        private.mkdir()
        empty = [*self._hidden, Path("/dev/shm"), self._folder / "ray"]
        ray = ["start", f"--address={self.address}", f"--node-ip-address={self._address_of(number)}", "--num-cpus=2"]
        start = " ".join([*RAY, *ray, "--resources='{\"builder\":2}'", *SMALL, "--block"])
        lines = [
            f"hostname {name}",
            *(f"mount -t tmpfs none {place}" for place in empty),
            f"export TMPDIR={private}",
            # As a supervisor would: a machine that Ray gave up comes back as a new one.
            f"while true; do {start} || true; sleep 1; done",
        ]
        inside = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        self._begin(name, ["ip", "netns", "exec", space, *inside, "sh", "-ec", "\n".join(lines)])

    def places_of(self, run: str) -> list[Path]:
        """Where workers keep work of a run."""
        return list(self._folder.glob(f"w*/*/apart/*/{run}/repository"))

    def cut(self, number: int) -> None:
        """Pull a worker's cable."""
        self._ip("link", "set", f"{self._tag}o{number}", "down")

    def mend(self, number: int) -> None:
        self._ip("link", "set", f"{self._tag}o{number}", "up")

    def kill_raylet(self, number: int) -> None:
        """kill -9 the process that is a worker's part in the cluster."""
        mark = f"--node_ip_address={self._address_of(number)}"
        for process in psutil.process_iter(["cmdline", "name"]):
            if process.info["name"] == "raylet" and mark in (process.info["cmdline"] or []):
                process.send_signal(signal.SIGKILL)
                return
        raise RuntimeError(f"no raylet with {mark} is there: {self.log('head')}")

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()[-1500:]

    def close(self) -> None:
        for process in self._started.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + 10
        for process in self._started.values():
            try:
                process.wait(timeout=max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=15)
        self._end_rest()
        for number, name in enumerate(name for name in self._started if name != "head"):
            self._ip("link", "del", f"{self._tag}o{number}", check=False)
            self._ip("netns", "del", f"{self._tag}-{name}", check=False)
        self._ip("link", "del", self._tag, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end_rest(self) -> None:
        """What the head's Ray left behind, by the folder and the address it was started with."""
        signs = (str(self._folder), self.address)
        for process in psutil.process_iter(["cmdline"]):
            if any(sign in word for word in process.info["cmdline"] or [] for sign in signs):
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def _wait_for(self, count: int) -> None:
        code = (
            f"import ray; ray.init(address={self.address!r}, log_to_driver=False, logging_level='ERROR'); "
            "print(sum(node['Alive'] for node in ray.nodes()))"
        )
        deadline = time.monotonic() + START_SECONDS
        seen = ""
        while time.monotonic() < deadline:
            self._wait_for_port(deadline)
            with contextlib.suppress(subprocess.TimeoutExpired):
                seen = subprocess.run(
                    [sys.executable, "-c", code],
                    env=self.environment,
                    capture_output=True,
                    text=True,
                    timeout=90,
                    check=False,
                ).stdout.strip()
            if seen == str(count):
                return
            time.sleep(1)
        logs = "\n".join(self.log(name) for name in self._started)
        raise RuntimeError(f"the machines did not find each other, {seen or 'none'} of {count} are there\n{logs}")

    def _wait_for_port(self, deadline: float) -> None:
        host, _, port = self.address.rpartition(":")
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5):
                return
            time.sleep(0.2)

    def _begin(self, name: str, command: list[str]) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        self._started[name] = subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, start_new_session=True
        )

    def _address_of(self, number: int) -> str:
        return f"10.213.{self._net}.{10 + number}"

    @staticmethod
    def _ip(*words: str, check: bool = True) -> None:
        subprocess.run(["ip", *words], check=check, capture_output=True, timeout=20)
