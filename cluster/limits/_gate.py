"""The door of one key in one process: who waits, who is in flight, and what the terms let through."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bessemer.cluster.errors import DeadlineExceeded
from bessemer.cluster.limits._queue import FairQueue
from bessemer.cluster.limits._rate import Pace
from bessemer.cluster.limits._types import CircuitOpen, FlowState, Lease, LimitKey, Terms

PROBE_PAUSE = 1.0
"""Seconds after which to ask again while another request tries an open breaker."""


@dataclass(frozen=True)
class Held:
    """One request in flight."""

    flow: str
    granted_at: float
    tokens: float


@dataclass(eq=False)
class _Waiter:
    flow: str
    weight: float
    tokens: float
    turn: asyncio.Future[Lease]


class Gate:
    """Grants leases by the terms. Not thread-safe: it belongs to one event loop."""

    def __init__(self, key: LimitKey, terms: Callable[[float], Terms], granted: Callable[[float], None]) -> None:
        """`terms` says at any time what is allowed; `granted` hears of every grant."""
        self.key = key
        self._terms = terms
        self._granted = granted
        self._queue: FairQueue[_Waiter] = FairQueue()
        self._weights: dict[str, float] = {}
        self._in_flight: dict[int, Held] = {}
        self._numbers = itertools.count(1)
        self._pace, self._tokens = Pace(), Pace(slack=1.0)
        self._probe: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def acquire(self, within: float, flow: str, weight: float, tokens: float) -> Lease:
        """Wait for a lease. Raises DeadlineExceeded after `within` seconds, CircuitOpen while the breaker is open."""
        now = clock()
        terms = self._terms(now)
        self._refuse_if_open(terms, now)
        if not self._queue and self._opens_at(terms, now) <= now:
            self._queue.charge(flow, weight)
            return self._grant(flow, tokens, terms, now)
        return await self._wait(_Waiter(flow, weight, tokens, asyncio.get_running_loop().create_future()), within)

    def finish(self, lease: Lease, tokens: float | None = None) -> Held | None:
        """End a lease; None if it has ended before. `tokens` are those it used in truth."""
        held = self._in_flight.pop(lease.number, None)
        if held is None:
            return None
        if self._probe == lease.number:
            self._probe = None
        if tokens is not None:
            self._tokens.give_back(held.tokens - tokens)
        return held

    def wake(self) -> None:
        """Let in whom the terms allow; call it whenever they may have changed."""
        now = clock()
        terms = self._terms(now)
        while self._queue and self._opens_at(terms, now) <= now:
            waiter = self._queue.pop()
            if not waiter.turn.done():
                waiter.turn.set_result(self._grant(waiter.flow, waiter.tokens, terms, now))
        if terms.open_until is not None:
            self._turn_away(terms, now)
        self._set_timer(terms, now)

    def weigh(self, weights: dict[str, float]) -> None:
        """Set the weights that flows have among each other here."""
        self._queue.weigh(weights)

    def flows(self) -> dict[str, FlowState]:
        """By flow."""
        waiting = self._queue.waiting()
        flying = Counter(held.flow for held in self._in_flight.values())
        names = sorted({*waiting, *flying})
        return {name: FlowState(flying[name], waiting.get(name, 0), self._weights.get(name, 1.0)) for name in names}

    async def _wait(self, waiter: _Waiter, within: float) -> Lease:
        self._weights[waiter.flow] = waiter.weight
        self._queue.put(waiter.flow, waiter.weight, waiter)
        self.wake()
        try:
            async with asyncio.timeout(within):
                return await waiter.turn
        except TimeoutError:
            self._leave(waiter)
            raise DeadlineExceeded(
                f"{self.key} gave no slot within {within:.0f} s ({len(self._in_flight)} in flight); "
                "give the run more time, or raise the limits of its provider"
            ) from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: _Waiter) -> None:
        turn = waiter.turn
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.finish(turn.result(), tokens=0.0)
        self._queue.remove(waiter.flow, waiter)
        self.wake()

    def _grant(self, flow: str, tokens: float, terms: Terms, now: float) -> Lease:
        lease = Lease(self.key, next(self._numbers))
        self._in_flight[lease.number] = Held(flow, now, tokens)
        self._pace.take(now)
        self._tokens.take(now, tokens)
        if terms.open_until is not None:
            self._probe = lease.number
        self._granted(now)
        return lease

    def _opens_at(self, terms: Terms, now: float) -> float:
        """When the next may go; infinity if that depends on others."""
        if terms.open_until is not None:
            # The one that tries needs a slot too, but nobody may be left without a try.
            free = self._probe is None and len(self._in_flight) < max(terms.slots, 1)
            return now if terms.probes and free and now >= terms.open_until else float("inf")
        if len(self._in_flight) >= terms.slots:
            return float("inf")
        self._pace.set(terms.rate, now)
        self._tokens.set(terms.token_rate, now)
        return max(terms.paused_until, self._pace.ready_at(), self._tokens.ready_at())

    def _set_timer(self, terms: Terms, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue and (at := self._opens_at(terms, now)) != float("inf"):
            # The rate may rise meanwhile, so a far turn is looked at again.
            self._timer = asyncio.get_running_loop().call_at(min(at, now + 1.0), self.wake)

    def _refuse_if_open(self, terms: Terms, now: float) -> None:
        if terms.open_until is not None and self._opens_at(terms, now) > now:
            raise self._refusal(terms, now)

    def _turn_away(self, terms: Terms, now: float) -> None:
        for waiter in self._queue.clear():
            if not waiter.turn.done():
                waiter.turn.set_exception(self._refusal(terms, now))

    def _refusal(self, terms: Terms, now: float) -> CircuitOpen:
        left = (terms.open_until or now) - now
        return CircuitOpen(self.key, max(left, PROBE_PAUSE), denied=terms.denied, reason=terms.reason)


def clock() -> float:
    """The event loop's time, which every time in this package is."""
    return asyncio.get_running_loop().time()
