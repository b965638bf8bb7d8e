"""Limiters of one process, with nobody to share a key with."""

from __future__ import annotations

from collections.abc import Mapping

from bessemer.cluster.limits._control import Control
from bessemer.cluster.limits._gate import Gate, clock
from bessemer.cluster.limits._types import (
    Ended,
    Feedback,
    Lease,
    LimiterState,
    LimitEvent,
    LimitKey,
    LimitPolicy,
    RateHint,
    Terms,
)


class Limiter:
    """The limiter of one key: a gate and its own control."""

    def __init__(self, key: LimitKey, policy: LimitPolicy | None = None) -> None:
        self.key = key
        self.control = Control(key, policy or LimitPolicy())
        self.gate = Gate(key, self._terms, lambda now: self.control.sent(1, now))

    @property
    def limit(self) -> float:
        return self.control.window.limit

    async def acquire(self, within: float, *, flow: str = "", weight: float = 1.0, tokens: float = 0.0) -> Lease:
        """Wait for a slot. Raises DeadlineExceeded after `within` seconds, CircuitOpen while the breaker is open."""
        return await self.gate.acquire(within, flow, weight, tokens)

    def release(
        self,
        lease: Lease,
        feedback: Feedback,
        retry_after: float | None = None,
        *,
        hint: RateHint | None = None,
        tokens: float | None = None,
        reason: str = "",
    ) -> None:
        """End a lease; releasing one twice changes nothing."""
        in_flight = self.gate.in_flight
        held = self.gate.finish(lease, 0.0 if feedback == "unsent" else tokens)
        if held is None:
            return
        ended = Ended(feedback, held.granted_at, retry_after, hint, tokens, reason)
        self.control.ended(ended, in_flight, clock())
        self.gate.wake()

    def state(self) -> LimiterState:
        now = clock()
        throttled = self.control.throttled_at
        return LimiterState(
            limit=self.control.window.limit,
            in_flight=self.gate.in_flight,
            waiting=self.gate.waiting,
            breaker=self.control.breaker.state(now),
            rate=self.control.terms(now).rate,
            last_throttled=None if throttled is None else now - throttled,
            flows=self.gate.flows(),
        )

    def _terms(self, now: float) -> Terms:
        return self.control.terms(now)


class Limits:
    """Every limiter of this process, made when first asked for."""

    def __init__(self, policies: Mapping[str, LimitPolicy] | None = None, default: LimitPolicy | None = None) -> None:
        """`policies` by provider; `default` for the others."""
        self._policies = policies or {}
        self._default = default or LimitPolicy()
        self._limiters: dict[LimitKey, Limiter] = {}

    def limiter(self, key: LimitKey) -> Limiter:
        if key not in self._limiters:
            self._limiters[key] = Limiter(key, self._policies.get(key.provider, self._default))
        return self._limiters[key]

    async def acquire(
        self, key: LimitKey, within: float, *, flow: str = "", weight: float = 1.0, tokens: float = 0.0
    ) -> Lease:
        """A lease for one request. Raises DeadlineExceeded after `within` seconds, CircuitOpen at once."""
        return await self.limiter(key).acquire(within, flow=flow, weight=weight, tokens=tokens)

    async def release(
        self,
        lease: Lease,
        feedback: Feedback,
        retry_after: float | None = None,
        *,
        hint: RateHint | None = None,
        tokens: float | None = None,
        reason: str = "",
    ) -> None:
        self.limiter(lease.key).release(lease, feedback, retry_after, hint=hint, tokens=tokens, reason=reason)

    def states(self) -> dict[str, LimiterState]:
        """What every limiter does now, by its key as text."""
        return {str(key): limiter.state() for key, limiter in self._limiters.items()}

    def take_events(self) -> list[LimitEvent]:
        """What happened since the last call."""
        return [event for limiter in self._limiters.values() for event in limiter.control.take_events()]

    async def close(self) -> None:
        """Nothing is held but memory."""
