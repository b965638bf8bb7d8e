"""Ray metrics of a backend host, read every few seconds: nothing is added to a call."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ray.util.metrics import Counter, Gauge

SECONDS = 5.0
"""Between readings; Ray itself exports about as often."""


class Measured(Protocol):
    """What a service says of itself."""

    def load(self) -> tuple[int, int, int]:
        """Calls sent or about to be, calls waiting for a slot, micro-dollars booked so far."""
        ...


class HostMetrics:
    """Gauges `bessemer_calls_in_flight` and `bessemer_calls_waiting`, counter `bessemer_spend_micro_usd`, by host."""

    def __init__(self, service: Measured, host: str) -> None:
        self._service = service
        tags = {"host": host}
        self._in_flight = Gauge("bessemer_calls_in_flight", "Calls at the provider", tuple(tags))
        self._waiting = Gauge("bessemer_calls_waiting", "Calls waiting for a slot", tuple(tags))
        self._spend = Counter("bessemer_spend_micro_usd", "Micro-dollars booked", tuple(tags))
        for metric in (self._in_flight, self._waiting, self._spend):
            metric.set_default_tags(tags)
        self._booked = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin reading, once. Needs a running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_reading())

    def read(self) -> None:
        """Take one reading."""
        in_flight, waiting, booked = self._service.load()
        self._in_flight.set(in_flight)
        self._waiting.set(waiting)
        if booked > self._booked:
            self._spend.inc(booked - self._booked)
            self._booked = booked

    async def _keep_reading(self) -> None:
        while True:
            self.read()
            await asyncio.sleep(SECONDS)
