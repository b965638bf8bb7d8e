"""What the processes of one local cluster use, by kind: CPU seconds and memory of their own."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import NamedTuple

import psutil

MIB = 2**20
PROGRAMS = "programs (git, sandbox, probes)"
SIMULATOR = "simulator"
"""The vendors' stand-in, which is not of the product."""


class Use(NamedTuple):
    """By kind of process."""

    cpu: dict[str, float]
    """Seconds since the process started, what its ended children used as `programs`."""
    memory: dict[str, float]
    """MiB that only this process has (USS)."""


def look(*, memory: bool = True) -> Use:
    """This process and everything below it, as it is now."""
    cpu: dict[str, float] = defaultdict(float)
    own: dict[str, float] = defaultdict(float)
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            kind = "driver" if process == me else _kind(" ".join(process.cmdline()))
            times = process.cpu_times()
            cpu[kind] += times.user + times.system
            if kind.endswith("Host"):
                cpu[PROGRAMS] += times.children_user + times.children_system
            if memory:
                own[kind] += process.memory_full_info().uss / MIB
    return Use(dict(cpu), dict(own))


def _kind(line: str) -> str:
    if actor := re.match(r"ray::(\w+)", line):
        return actor[1] if actor[1] != "IDLE" else "ray"
    if "backend simulate" in line or "_loopback.py" in line:
        return SIMULATOR
    return "ray" if "ray" in line else PROGRAMS


class Peak:
    """The highest memory seen."""

    def __init__(self) -> None:
        self.memory: dict[str, float] = {}

    def take(self, use: Use) -> None:
        if total(use.memory) > total(self.memory):
            self.memory = use.memory


def used(before: Use, after: Use) -> dict[str, float]:
    """CPU seconds between two looks, by kind."""
    return {kind: after.cpu[kind] - before.cpu.get(kind, 0.0) for kind in after.cpu}


def total(by_kind: dict[str, float]) -> float:
    """Of the product: what the vendor's stand-in uses is left out."""
    return sum(value for kind, value in by_kind.items() if kind != SIMULATOR)


@contextlib.asynccontextmanager
async def watched(seconds: float) -> AsyncIterator[Peak]:
    """Sample memory every `seconds` while the block runs."""
    peak = Peak()

    async def sample() -> None:
        while True:
            peak.take(await asyncio.to_thread(look))
            await asyncio.sleep(seconds)

    task = asyncio.create_task(sample())
    try:
        yield peak
    finally:
        task.cancel()
        peak.take(look())
