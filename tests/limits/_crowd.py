"""Runs that work against a simulated vendor, on one host or several, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from bessemer.cluster.limits import LimitKey, LimitPolicy, LimitsLike, Report, SharedLimits, Shares

from ._vendor import Vendor

KEY = LimitKey("vendor", "default", "model")
POLICY = LimitPolicy(initial=64, ceiling=1024)


@dataclass
class House:
    """A limiter that hosts reach by messages, and that can be away."""

    delay: float = 0.003
    shares: Shares = field(default_factory=Shares)
    away: bool = False
    messages: int = 0
    hosts: dict[str, SharedLimits] = field(default_factory=dict)

    def host(self, name: str, policy: LimitPolicy = POLICY, incarnation: int = 1) -> SharedLimits:
        made = SharedLimits(self.exchange, host=f"{name}@{incarnation}", home="home", default=policy)
        self.hosts[name] = made
        return made

    async def exchange(self, raw: bytes) -> bytes:
        self.messages += 1
        await asyncio.sleep(self.delay)
        if self.away:
            raise ConnectionError("the limiter is gone")
        now = asyncio.get_running_loop().time()
        answer = self.shares.exchange(Report.model_validate_json(raw), now)
        await asyncio.sleep(self.delay)
        return answer.model_dump_json(exclude_defaults=True).encode()

    async def close(self) -> None:
        for host in self.hosts.values():
            await host.close()


@dataclass
class Crowd:
    """Workers that send one request after another, as runs do."""

    vendor: Vendor
    served: Counter[str] = field(default_factory=Counter)
    """Answers by run."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def work(self, limits: LimitsLike, run: str, *, workers: int = 100, weight: float = 1.0) -> None:
        loop = asyncio.get_running_loop()
        for number in range(workers):
            self.tasks.append(loop.create_task(self._work(limits, run, weight, random.Random(number))))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _work(self, limits: LimitsLike, run: str, weight: float, chance: random.Random) -> None:
        while True:
            lease = await limits.acquire(KEY, 3600, flow=run, weight=weight)
            answer = await self.vendor.request()
            await limits.release(lease, "ok" if answer.ok else "throttled", answer.retry_after)
            self.served[run] += answer.ok
            if not answer.ok:
                await asyncio.sleep(chance.uniform(0, 0.5) + (answer.retry_after or 0))
