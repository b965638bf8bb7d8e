"""What hosts and the cluster's limiter say to each other. Times are spans in seconds: clocks of machines differ."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bessemer.cluster.limits._types import Feedback, FlowState, LimitEvent, LimitKey, LimitPolicy, RateHint

TERM = 3.0
"""Seconds after which the slots of a host that says nothing go to the others."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EndedCall(NamedTuple):
    """`Ended`, with the grant's age in place of its time."""

    feedback: Feedback
    age: float
    retry_after: float | None
    hint: RateHint | None
    tokens: float | None
    reason: str


class Burst(NamedTuple):
    """Requests granted at about the same time."""

    age: float
    requests: int


class KeyReport(_Message):
    """What one host does with one key, and what happened since its last report."""

    key: LimitKey
    policy: LimitPolicy
    flows: dict[str, FlowState]
    sent: list[Burst] = Field(default_factory=list)
    ended: list[EndedCall] = Field(default_factory=list)
    known_limit: float | None = None
    """The whole cluster's limit as last heard: a limiter that starts anew goes on from there."""
    known_rate: float | None = None
    known_slots: int = 0
    """Slots of this host's last grant: while a new limiter does not know all hosts, none gets more."""


class Report(_Message):
    host: str
    """Name of this incarnation of the host."""
    home: str
    """Whose ledger it writes: each home hears of an event once."""
    keys: list[KeyReport]


class KeyGrant(_Message):
    """What a host may do with one key until its next report, or for the term."""

    slots: int
    rate: float | None = None
    token_rate: float | None = None
    paused: float = 0.0
    """Seconds from now."""
    open: float | None = None
    """Seconds until the breaker lets somebody try; not above 0 when half open; None when closed."""
    probes: int = 0
    denied: bool = False
    reason: str = ""
    weights: dict[str, float] = Field(default_factory=dict)
    """What its flows weigh here, among each other."""
    limit: float
    """Requests in flight of all hosts together."""
    learned_rate: float | None = None
    last_throttled: float | None = None
    hosts: int = 1


class Grants(_Message):
    grants: list[KeyGrant]
    """In the order of the report's keys."""
    events: list[LimitEvent] = Field(default_factory=list)
