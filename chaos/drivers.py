"""A driver as a process that may be killed. It drives every run that is asked of it, and another follows it at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 60.0


class Drivers:
    """The driver of now, and one that has imported everything already and takes over when it dies."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._driver = self._spawn()
        self._spare = self._spawn()

    @property
    def pids(self) -> set[int]:
        return {self._driver.pid, self._spare.pid}

    def start(self, order: dict[str, Any]) -> int:
        """Hand an order to a living driver; returns its process id. What came of it goes to `order["answer"]`."""
        if self._driver.poll() is not None:
            self._driver, self._spare = self._spare, self._spawn()
        assert self._driver.stdin is not None
        try:
            self._driver.stdin.write(json.dumps(order) + "\n")
            self._driver.stdin.flush()
        except BrokenPipeError:
            self._driver.wait(10)
            return self.start(order)
        return self._driver.pid

    def lives(self, pid: int) -> bool:
        """Whether the driver that took an order still lives."""
        return self._driver.pid == pid and self._driver.poll() is None

    def retire(self) -> None:
        """End the driver: its cluster is no more."""
        self._driver.kill()
        self._driver.wait()

    def close(self) -> None:
        for process in (self._driver, self._spare):
            process.kill()
            process.wait()

    def _spawn(self) -> subprocess.Popen[str]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "chaos.drivers"], stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
            )


async def _serve() -> None:
    """Carry out orders, one JSON line each, side by side until stdin closes."""
    from bessemer.cluster import ray_session

    orders: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(orders.put_nowait, line)
        loop.call_soon_threadsafe(orders.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    under_way: set[asyncio.Task[None]] = set()
    joined = False
    while line := await orders.get():
        if not joined:
            await asyncio.to_thread(ray_session.join)
            joined = True
        task = asyncio.create_task(_carry_out(json.loads(line)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)


async def _carry_out(order: dict[str, Any]) -> None:
    try:
        told = await _drive(order)
    except Exception as error:
        told = {"error": type(error).__name__, "message": str(error)}
    answer = Path(order["answer"])
    partial = answer.with_suffix(".part")
    partial.write_text(json.dumps(told))
    partial.replace(answer)


async def _drive(order: dict[str, Any]) -> dict[str, Any]:
    """Start a run, or take it up again, and watch it to its end; without a `spec`, wait for the lake."""
    from bessemer.actors.run_host import RunSpec
    from bessemer.cluster.home import Home
    from bessemer.interfaces._driver import Driver

    driver = Driver(Home.model_validate(order["home"]))
    if "spec" not in order:
        return {"problem": await driver.flush(FLUSH_SECONDS)}
    spec = RunSpec.model_validate(order["spec"])
    await driver.start(spec)
    return {"outcome": await driver.watch(spec, lambda event: None)}


if __name__ == "__main__":
    asyncio.run(_serve())
