"""The words of the limiter: keys, policies, leases, and what is said about a request that ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

Feedback = Literal["ok", "throttled", "overloaded", "failed", "denied", "unsent"]
"""How a lease ended.

`ok`: the provider worked on it; `throttled`: 429; `overloaded`: 503 or 529; `failed`: broken on the provider's side;
`denied`: 401 or 403; `unsent`: never sent.
"""
BreakerState = Literal["closed", "open", "half_open"]


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
    denied_seconds: float = 30.0
    """The same after a refused key."""
    requests_per_minute: float | None = None
    """Never more requests a minute than this; None leaves it to what the provider says and refuses."""
    tokens_per_minute: float | None = None
    """Never more tokens a minute than this, input and output together."""

    def __post_init__(self) -> None:
        if not 1 <= self.floor <= self.initial <= self.ceiling or not 0 < self.decrease < 1:
            raise ValueError(f"limits must satisfy 1 <= floor <= initial <= ceiling and 0 < decrease < 1: {self}")
        caps = (self.requests_per_minute, self.tokens_per_minute)
        if any(cap is not None and not cap > 0 for cap in caps):
            raise ValueError(f"requests and tokens a minute must be above 0, or None: {self}")


class RateHint(BaseModel):
    """What a provider's rate headers said in one answer. None: it did not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_limit: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    requests_remaining: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    requests_reset_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Seconds until the whole limit is there again."""
    tokens_limit: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    tokens_remaining: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    tokens_reset_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Lease(NamedTuple):
    """The right to have one request in flight."""

    key: LimitKey
    number: int
    """Serial number of the grant, rising."""


class Ended(NamedTuple):
    """How one request ended, for whoever sets the limits."""

    feedback: Feedback
    granted_at: float
    """When its lease was granted, in the reader's time."""
    retry_after: float | None = None
    hint: RateHint | None = None
    tokens: float | None = None
    """Tokens it used, where known."""
    reason: str = ""
    """Why it was denied, for people."""


class CircuitOpen(Exception):
    """The provider failed too often in a row, or refused the key; ask again after `retry_after` seconds."""

    def __init__(self, key: LimitKey, retry_after: float, *, denied: bool = False, reason: str = "") -> None:
        if denied:
            said = f"{key} refuses the key: {reason or 'no reason given'}; check the key and its permissions"
        else:
            said = f"{key} failed too often in a row; the next try is in {retry_after:.1f} s"
        super().__init__(said)
        self.retry_after = retry_after
        self.denied = denied
        self.reason = reason


class FlowState(NamedTuple):
    in_flight: int
    waiting: int
    weight: float


class LimiterState(NamedTuple):
    """What a limiter does now."""

    limit: float
    in_flight: int
    waiting: int
    breaker: BreakerState
    rate: float | None = None
    """Requests a second at most; None: not paced."""
    last_throttled: float | None = None
    """Seconds since the last 429; None: there was none."""
    hosts: int = 1
    flows: Mapping[str, FlowState] = {}
    """By run."""


class LimitEvent(NamedTuple):
    """Something people should be able to find later."""

    kind: Literal["breaker_opened", "breaker_closed", "limit_cut"]
    text: str


class Terms(NamedTuple):
    """What a host may do with one key until it hears more."""

    slots: int
    """Requests in flight at most."""
    rate: float | None = None
    """Requests a second; None: as many as there are slots."""
    token_rate: float | None = None
    """Tokens a second."""
    paused_until: float = 0.0
    open_until: float | None = None
    """Not None while the breaker is open or half open."""
    probes: int = 0
    """Requests that may try an open breaker once its time is over."""
    denied: bool = False
    reason: str = ""


class LimitsLike(Protocol):
    """What a backend service needs of the limiter, in this process or shared over a cluster."""

    async def acquire(
        self, key: LimitKey, within: float, *, flow: str = "", weight: float = 1.0, tokens: float = 0.0
    ) -> Lease:
        """A lease for one request of `flow` (a run). Raises DeadlineExceeded after `within` seconds, CircuitOpen."""
        ...

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
        """End a lease; releasing one twice changes nothing."""
        ...

    def states(self) -> dict[str, LimiterState]:
        """What every key does, by its name."""
        ...

    def take_events(self) -> list[LimitEvent]:
        """What happened since the last call."""
        ...

    async def close(self) -> None: ...
