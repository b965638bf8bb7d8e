"""How many requests may be in flight: adaptive concurrency per provider, account and model, with a circuit breaker.

| object | role | lifetime |
|---|---|---|
| `Limits` | every limiter of one process; what a host asks | the host |
| `Limiter` | one (provider, account, model): its limit, its queue, its breaker | from the first request on |
| `Lease` | the right to have one request in flight | from the grant until `release` |

The limit starts small, grows by one for every success until the provider first says "too many" (so it doubles every
round trip), and by one for every full window after that; a refusal multiplies it by `decrease`, at most once a round
trip. Grants are first come, first served. Leases are plain data and feedback is a word, so that an actor can host the
same class for a whole cluster.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from bessemer.cluster.errors import DeadlineExceeded

Feedback = Literal["ok", "throttled", "failed", "unsent"]
"""How a lease ended: answered, refused for load (429, 503, 529), failed on the provider's side, or never sent."""


class LimitKey(NamedTuple):
    provider: str
    account: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}@{self.account}"


@dataclass(frozen=True)
class LimitPolicy:
    initial: float = 64.0
    """Requests in flight before anything is known."""
    floor: float = 1.0
    ceiling: float = 256.0
    """Never more in flight than this."""
    decrease: float = 0.5
    """What a refusal multiplies the limit by."""
    breaker_failures: int = 10
    """Failures in a row that open the breaker."""
    breaker_seconds: float = 10.0
    """How long an open breaker refuses before one request may try again."""

    def __post_init__(self) -> None:
        if not 1 <= self.floor <= self.initial <= self.ceiling or not 0 < self.decrease < 1:
            raise ValueError(f"limits must satisfy 1 <= floor <= initial <= ceiling and 0 < decrease < 1: {self}")


class Lease(NamedTuple):
    key: LimitKey
    number: int
    """Serial number of the grant, rising."""


class CircuitOpen(Exception):
    """The provider failed too often in a row; ask again after `retry_after` seconds."""

    def __init__(self, key: LimitKey, retry_after: float) -> None:
        super().__init__(f"{key} failed too often in a row; the next try is in {retry_after:.1f} s")
        self.retry_after = retry_after


class LimiterState(NamedTuple):
    limit: float
    in_flight: int
    waiting: int
    breaker: Literal["closed", "open", "half_open"]


class LimitsLike(Protocol):
    """What a backend service needs of a limiter, in this process or behind an actor."""

    async def acquire(self, key: LimitKey, within: float) -> Lease: ...

    async def release(self, lease: Lease, feedback: Feedback, retry_after: float | None = None) -> None: ...


class Limiter:
    """The limiter of one key. Not thread-safe: it belongs to one event loop."""

    def __init__(self, key: LimitKey, policy: LimitPolicy | None = None) -> None:
        self.key = key
        self.policy = policy or LimitPolicy()
        self.limit = self.policy.initial
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._granted = 0  # turns given to waiters that have not run yet: they count as in flight
        self._in_flight: set[int] = set()
        self._numbers = itertools.count(1)
        self._slow_start = True
        self._decreased_at = 0  # newest number at the last decrease: refusals of older grants say nothing new
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._open_until: float | None = None
        self._probe: int | None = None

    async def acquire(self, within: float) -> Lease:
        """Wait for a slot. Raises DeadlineExceeded after `within` seconds, CircuitOpen while the breaker is open."""
        self._refuse_if_open()
        if self._waiting or not self._may_start():
            await self._wait(within)
            self._refuse_if_open()
        number = next(self._numbers)
        self._in_flight.add(number)
        if self._open_until is not None:
            self._probe = number
        return Lease(self.key, number)

    def release(self, lease: Lease, feedback: Feedback, retry_after: float | None = None) -> None:
        """End a lease; releasing one twice changes nothing."""
        if lease.number not in self._in_flight:
            return
        self._in_flight.discard(lease.number)
        probing = self._probe == lease.number
        if probing:
            self._probe = None
        if feedback == "ok":
            self._succeeded()
        elif feedback == "throttled":
            self._throttled(lease.number, retry_after)
        elif feedback == "failed":
            self._failed(probing)
        self._wake()

    def state(self) -> LimiterState:
        breaker: Literal["closed", "open", "half_open"] = "closed"
        if self._open_until is not None:
            breaker = "open" if self._now() < self._open_until else "half_open"
        return LimiterState(self.limit, len(self._in_flight), len(self._waiting), breaker)

    async def _wait(self, within: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake()
        try:
            async with asyncio.timeout(within):
                await turn
        except TimeoutError:
            self._leave(turn)
            raise DeadlineExceeded(
                f"{self.key} gave no slot within {within:.0f} s ({len(self._in_flight)} in flight)"
            ) from None
        except asyncio.CancelledError:
            self._leave(turn)
            raise
        self._granted -= 1

    def _leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self._granted -= 1
        elif turn in self._waiting:
            self._waiting.remove(turn)
        self._wake()

    def _may_start(self) -> bool:
        if self._now() < self._paused_until:
            return False
        busy = len(self._in_flight) + self._granted
        if self._open_until is not None:
            return busy == 0
        return busy < int(self.limit)

    def _wake(self) -> None:
        while self._waiting and self._may_start():
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._granted += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._now() < self._paused_until:
            self._timer = asyncio.get_running_loop().call_at(self._paused_until, self._wake)

    def _succeeded(self) -> None:
        self._failures = 0
        self._open_until = None
        step = 1.0 if self._slow_start else 1.0 / max(self.limit, 1.0)
        if len(self._in_flight) + 1 >= int(self.limit) // 2:
            self.limit = min(self.policy.ceiling, self.limit + step)

    def _throttled(self, number: int, retry_after: float | None) -> None:
        self._slow_start = False
        if number > self._decreased_at:
            self.limit = max(self.policy.floor, self.limit * self.policy.decrease)
            self._decreased_at = next(self._numbers)
        if retry_after:
            self._paused_until = max(self._paused_until, self._now() + retry_after)

    def _failed(self, probing: bool) -> None:
        self._failures += 1
        if probing or self._failures >= self.policy.breaker_failures:
            self._open_until = self._now() + self.policy.breaker_seconds
            self._failures = 0
            for turn in self._waiting:
                if not turn.done():
                    turn.set_result(None)
                    self._granted += 1
            self._waiting.clear()

    def _refuse_if_open(self) -> None:
        if self._open_until is None:
            return
        left = self._open_until - self._now()
        if left > 0 or self._probe is not None:
            raise CircuitOpen(self.key, max(left, 1.0))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class Limits:
    """Every limiter of this process, made when first asked for."""

    def __init__(self, policies: dict[str, LimitPolicy] | None = None, default: LimitPolicy | None = None) -> None:
        """`policies` by provider; `default` for the others."""
        self._policies = policies or {}
        self._default = default or LimitPolicy()
        self._limiters: dict[LimitKey, Limiter] = {}

    def limiter(self, key: LimitKey) -> Limiter:
        if key not in self._limiters:
            self._limiters[key] = Limiter(key, self._policies.get(key.provider, self._default))
        return self._limiters[key]

    async def acquire(self, key: LimitKey, within: float) -> Lease:
        """A lease for one request. Raises DeadlineExceeded after `within` seconds, CircuitOpen at once."""
        return await self.limiter(key).acquire(within)

    async def release(self, lease: Lease, feedback: Feedback, retry_after: float | None = None) -> None:
        self.limiter(lease.key).release(lease, feedback, retry_after)

    def states(self) -> dict[str, LimiterState]:
        """What every limiter does now, by its key as text."""
        return {str(key): limiter.state() for key, limiter in self._limiters.items()}
