"""A vendor with a rate limit that it does not tell, in the event loop's time."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["bucket", "window", "sliding"]


class Answer(NamedTuple):
    ok: bool
    retry_after: float | None = None


@dataclass
class Vendor:
    """Takes `limit(now)` requests a second, counted as `kind` says; refuses the rest at once."""

    limit: Callable[[float], float]
    latency: float = 0.3
    kind: Kind = "bucket"
    burst: float = 0.25
    """Seconds of the limit that a bucket holds."""
    retry_after: float | None = None
    seed: int = 1
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._started = _now()
        self._level = 1.0
        self._at = self._started
        self._recent: deque[float] = deque()

    async def request(self) -> Answer:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0.01)
            if not self._admits():
                self.refused.append(_now() - self._started)
                await asyncio.sleep(0.01)
                return Answer(False, self.retry_after)
            self.served.append(_now() - self._started)
            await asyncio.sleep(self.latency * self._random.lognormvariate(0, 0.3))
            return Answer(True)
        finally:
            self.in_flight -= 1

    def _admits(self) -> bool:
        now = _now()
        limit = self.limit(now - self._started)
        if self.kind == "bucket":
            self._level = min(max(limit * self.burst, 1.0), self._level + limit * (now - self._at))
            self._at = now
            if self._level < 1:
                return False
            self._level -= 1
            return True
        start = now - 1 if self.kind == "sliding" else float(int(now - self._started)) + self._started
        while self._recent and self._recent[0] < start:
            self._recent.popleft()
        if len(self._recent) >= limit:
            return False
        self._recent.append(now)
        return True

    def rates(self, start: float, end: float) -> tuple[float, float]:
        """Part of the hidden limit that was used between two times, and part of the requests that was refused."""
        served = sum(start <= at < end for at in self.served)
        refused = sum(start <= at < end for at in self.refused)
        steps = 1000
        allowed = sum(self.limit(start + (end - start) * n / steps) for n in range(steps)) * (end - start) / steps
        return served / allowed, refused / max(served + refused, 1)


def _now() -> float:
    return asyncio.get_running_loop().time()
