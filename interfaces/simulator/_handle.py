"""A simulator in a process of its own, for tests and benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bessemer.cluster.errors import InfrastructureError, SettingsError

STOP_SECONDS = 10.0
ASK_SECONDS = 60.0


class Simulator:
    """A running simulator."""

    def __init__(self, record: dict[str, Any], process: subprocess.Popen[str]) -> None:
        self.url: str = record["url"]
        """`http://127.0.0.1:PORT`; OpenAI's SDK wants `/v1` behind it."""
        self.xai_host: str = record["xai_host"]
        """`127.0.0.1:PORT`, plaintext."""
        self.environment: dict[str, str] = record["environment"]
        """Variables that point the SDKs and Bessemer at it."""
        self.pid = process.pid

    def books(self) -> list[dict[str, Any]]:
        """Every request it was sent, oldest first."""
        entries: list[dict[str, Any]] = self._ask("books")["entries"]
        return entries

    def state(self) -> dict[str, Any]:
        """Settings that hold now, and counts."""
        return self._ask("state")

    def set(self, **dials: Any) -> None:
        """Turn dials: latency, faults, rate, concurrency, batch_seconds, batch_expires. Raises SettingsError."""
        for name, value in dials.items():
            self._ask(name, {"value": value})

    def _ask(self, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_simulator/{path}", data=data)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=ASK_SECONDS) as response:  # noqa: S310
                value: dict[str, Any] = json.load(response)
                return value
        except urllib.error.HTTPError as error:
            raise SettingsError(json.load(error)["error"]) from None


@contextmanager
def running(**options: Any) -> Iterator[Simulator]:
    """Start a simulator on free ports and end it afterwards.

    `options` are the flags of `bessemer backend simulate` with underscores: `seed=3`, `scenario=path`, `rate="50"`,
    `fault=["0.1:rate_limited"]`, `hide_limits=True`. Raises InfrastructureError with what it said if it does not start.
    """
    arguments = ["--port", "0", "--json", *_flags(options)]
    command = [sys.executable, "-m", "bessemer.interfaces.cli", "backend", "simulate", *arguments]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            record = json.loads(process.stdout.readline() or "{}")
            if "url" not in record:
                process.wait(timeout=STOP_SECONDS)
                said.seek(0)
                raise InfrastructureError(f"the simulator did not start: {said.read().strip()}")
            yield Simulator(record, process)
        finally:
            _stop(process)


def _flags(options: dict[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            yield flag
        elif value is not None and value is not False:
            for one in value if isinstance(value, list | tuple) else [value]:
                yield f"{flag}={one}"


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
