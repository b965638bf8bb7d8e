"""The vendor's own limits: a token bucket and a number of requests in flight, for each model."""

from __future__ import annotations

import time
from typing import NamedTuple

from bessemer.interfaces.simulator._dials import RatePlan


class Allowance(NamedTuple):
    """What a model's bucket holds after a request."""

    per_second: float
    remaining: int
    """Requests that could be sent at this moment."""
    full_in: float
    """Seconds until nothing is missing."""
    retry_after: float | None = None
    """Seconds until the next request would pass; None for one that passed."""


class Bucket:
    """A token bucket that holds one second's worth and refills by a plan."""

    def __init__(self, plan: RatePlan, since: float) -> None:
        self._plan = plan
        self._since = since
        self._then = since
        self._level = max(1.0, plan[0].rate)

    def take(self, now: float) -> Allowance:
        """Take one request's token at monotonic second `now`, if there is one."""
        self._refill(now)
        rate = self._rate_at(now)
        refused = self._level < 1
        if not refused:
            self._level -= 1
        missing = max(1.0, rate) - self._level
        wait = (1 - self._level) / rate if refused else None
        return Allowance(rate, int(self._level), missing / rate, wait)

    def _refill(self, now: float) -> None:
        while self._then < now:
            rate = self._rate_at(self._then)
            later = (self._since + step.start for step in self._plan)
            until = min((start for start in later if self._then < start < now), default=now)
            self._level = min(max(1.0, rate), self._level + rate * (until - self._then))
            self._then = until

    def _rate_at(self, moment: float) -> float:
        passed = moment - self._since
        return next((step.rate for step in reversed(self._plan) if step.start <= passed), self._plan[0].rate)


class Limits:
    """The buckets and the requests in flight of all models."""

    def __init__(self, plan: RatePlan | None, concurrency: int | None) -> None:
        self.concurrency = concurrency
        self.in_flight: dict[str, int] = {}
        self.most_in_flight = 0
        self.set_rate(plan)

    def set_rate(self, plan: RatePlan | None) -> None:
        """Begin a plan anew, at its second 0."""
        self._plan = plan
        self._since = time.monotonic()
        self._buckets: dict[str, Bucket] = {}

    def admit(self, model: str) -> Allowance | None:
        """What the limits say to one more request now; None where there are none."""
        if self.concurrency is not None and self.in_flight.get(model, 0) >= self.concurrency:
            return Allowance(0.0, 0, 1.0, 1.0)
        if self._plan is None:
            return None
        bucket = self._buckets.get(model)
        if bucket is None:
            bucket = self._buckets[model] = Bucket(self._plan, self._since)
        return bucket.take(time.monotonic())

    def enter(self, model: str) -> None:
        self.in_flight[model] = self.in_flight.get(model, 0) + 1
        self.most_in_flight = max(self.most_in_flight, sum(self.in_flight.values()))

    def leave(self, model: str) -> None:
        self.in_flight[model] -= 1
