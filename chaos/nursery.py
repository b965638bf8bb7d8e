"""Drivers as processes that may be killed, made by forking one process that has imported everything already."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 60.0


class Nursery:
    """The process that drivers are forked from."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
                text=True,
            )  # fmt: skip
        self.pid = self._process.pid

    def start(self, order: dict[str, Any]) -> int:
        """Start a driver; returns its process id. It writes what came of it to the file `order["answer"]`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Read orders, one JSON line each; fork a driver for each and say its process id."""
    import ray  # noqa: F401

    import bessemer.interfaces._session  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line))
        print(pid, flush=True)


def _child(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    answer = Path(order["answer"])
    try:
        told = _drive(order)
    except BaseException as error:
        told = {"error": type(error).__name__, "message": str(error)}
    partial = answer.with_suffix(".part")
    partial.write_text(json.dumps(told))
    partial.replace(answer)
    os._exit(0)


def _drive(order: dict[str, Any]) -> dict[str, Any]:
    from bessemer.actors.run_host import RunSpec
    from bessemer.cluster import ray_session
    from bessemer.cluster.home import Home
    from bessemer.interfaces._driver import Driver

    home = Home.model_validate(order["home"])
    ray_session.join()

    async def work() -> dict[str, Any]:
        driver = Driver(home)
        if "spec" not in order:
            return {"problem": await driver.flush(FLUSH_SECONDS)}
        spec = RunSpec.model_validate(order["spec"])
        await driver.start(spec)
        return {"outcome": await driver.watch(spec, lambda event: None)}

    try:
        return asyncio.run(work())
    finally:
        ray_session.leave()


if __name__ == "__main__":
    main()
