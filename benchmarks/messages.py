"""CPU of a small message between two hosts, through Ray and over a line, in one run. Prints JSON.

    python benchmarks/messages.py [--rate 160] [--seconds 6] [--turns 3]

Both go from this process to one actor at the same steady rate; what the two processes use without any message is taken
off. Figures are medians of the turns, in milliseconds of CPU a message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import ray

from bessemer.actors._line import Line, LineServer
from bessemer.cluster import ray_session

MESSAGE = b"x" * 600
Send = Callable[[], Awaitable[Any]]


@ray.remote(num_cpus=0, max_concurrency=1000)
class Echo:
    """Answers with what it was sent."""

    def __init__(self) -> None:
        self._line = LineServer(self.echo)

    async def echo(self, message: bytes) -> bytes:
        return message

    async def line(self) -> dict[str, str]:
        return await self._line.where()

    async def process(self) -> int:
        return os.getpid()


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def paced(send: Send, rate: float, seconds: float) -> int:
    """How many messages were sent and answered at a steady rate."""
    loop = asyncio.get_running_loop()
    started, tasks = loop.time(), []
    while loop.time() - started < seconds:
        tasks.append(asyncio.ensure_future(send()))
        await asyncio.sleep(max(0.0, started + len(tasks) / rate - loop.time()))
    await asyncio.gather(*tasks)
    return len(tasks)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    ray_session.join(private=True)
    echo = Echo.remote()
    other = await echo.process.remote()
    line = await Line.open(**await echo.line.remote())

    async def through_ray() -> None:
        await echo.echo.remote(MESSAGE)

    async def nothing() -> None:
        return

    ways: dict[str, Send] = {"idle": nothing, "ray": through_ray, "line": lambda: line.ask(MESSAGE)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(options.turns):
        for name, send in ways.items():
            before = cpu(os.getpid()), cpu(other)
            count = await paced(send, options.rate, options.seconds)
            after = cpu(os.getpid()), cpu(other)
            found[name].append((1e3 * (after[0] - before[0]) / count, 1e3 * (after[1] - before[1]) / count))
    await line.close()
    return _figures(found) | {"rate": options.rate, "cores": os.cpu_count()}


def _figures(found: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    medians = {name: [statistics.median(side) for side in zip(*turns, strict=True)] for name, turns in found.items()}
    net = {
        name: [max(one - idle, 0.0) for one, idle in zip(medians[name], medians["idle"], strict=True)]
        for name in medians
    }
    figures: dict[str, Any] = {}
    for name in ("ray", "line"):
        figures[f"{name}_caller_ms"], figures[f"{name}_host_ms"] = (round(one, 3) for one in net[name])
    figures["ray_over_line"] = round(sum(net["ray"]) / (sum(net["line"]) or 1e-9), 1)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=160.0, help="messages a second")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--turns", type=int, default=3)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
