"""The limiter's side of a call: which limiter it goes through, and what the limits of a host are."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bessemer.actors.backends.agents import AGENTS, COMMAND
from bessemer.actors.backends.base import CallFailure, split_name
from bessemer.cluster.backend_settings import BackendSettings, CompatibleSettings, ProviderSettings
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.ledger.operations import Record
from bessemer.cluster.limits import (
    CircuitOpen,
    Feedback,
    Lease,
    LimiterState,
    LimitEvent,
    LimitKey,
    LimitPolicy,
    Limits,
    LimitsLike,
    RateHint,
)
from bessemer.cluster.records import EventRecord

if TYPE_CHECKING:
    from bessemer.actors._call_accounting import CallLedger

VENDORS = ("anthropic", "openai", "google", "xai")
OWN = frozenset({"embedded", "scripted", "replay", *AGENTS, COMMAND})
"""Providers inside one process or machine: nobody else shares them."""
BYTES_PER_TOKEN = 4
"""A usual token of text; only the pace of tokens rests on it, and it is corrected by the answer's usage."""

_log = logging.getLogger(__name__)


def limit_key(backend: str, settings: BackendSettings) -> LimitKey:
    """The limiter a backend's calls go through."""
    name = split_name(backend)
    if name is None:
        return LimitKey(backend, "default", "")
    section = _section(name.provider, settings)
    return LimitKey(name.provider, section.account if section else "default", name.model)


def expected_tokens(most_tokens: int) -> float:
    """About what a request will use of which this is the most, for the pace of tokens."""
    return most_tokens / BYTES_PER_TOKEN


def policies_of(settings: BackendSettings) -> dict[str, LimitPolicy]:
    """Limits by provider, as the settings ask for: the embedded model gets as many requests as it has slots."""
    slots = float(settings.embedded.slots)
    programs = float(settings.agents.max_in_flight)
    policies = {"embedded": LimitPolicy(initial=slots, ceiling=slots)}
    policies |= dict.fromkeys((*AGENTS, COMMAND), LimitPolicy(initial=programs, ceiling=programs))
    for provider in (*VENDORS, "openai-compatible"):
        section = _section(provider, settings)
        assert section is not None
        policies[provider] = LimitPolicy(
            initial=float(min(64, section.max_in_flight)),
            ceiling=float(section.max_in_flight),
            requests_per_minute=section.requests_per_minute,
            tokens_per_minute=section.tokens_per_minute,
        )
    return policies


DEFAULT_POLICY = LimitPolicy(initial=256.0, ceiling=1024.0)
"""For providers without a section."""


def limits_of(settings: BackendSettings) -> Limits:
    """Limiters of this process alone."""
    return Limits(policies_of(settings), DEFAULT_POLICY)


class HostLimits:
    """A host's limits: the cluster's for what others use too, its own for what lives in its process."""

    def __init__(self, own: LimitsLike, shared: LimitsLike) -> None:
        self._own = own
        self._shared = shared

    async def acquire(
        self, key: LimitKey, within: float, *, flow: str = "", weight: float = 1.0, tokens: float = 0.0
    ) -> Lease:
        return await self._of(key).acquire(key, within, flow=flow, weight=weight, tokens=tokens)

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
        limits = self._of(lease.key)
        await limits.release(lease, feedback, retry_after, hint=hint, tokens=tokens, reason=reason)

    def states(self) -> dict[str, LimiterState]:
        return {**self._own.states(), **self._shared.states()}

    def take_events(self) -> list[LimitEvent]:
        return [*self._own.take_events(), *self._shared.take_events()]

    async def close(self) -> None:
        await self._shared.close()
        await self._own.close()

    def _of(self, key: LimitKey) -> LimitsLike:
        return self._own if key.provider in OWN else self._shared


def failure_of_breaker(refused: CircuitOpen) -> CallFailure:
    """What a call has that an open breaker refused: a key that was refused does not get better by trying again."""
    if refused.denied:
        return CallFailure(kind="auth", message=str(refused))
    return CallFailure(kind="overloaded", message=str(refused), retryable=True, retry_after=refused.retry_after)


async def record_events(ledger: CallLedger, host: str, events: Sequence[LimitEvent]) -> None:
    """Put events into the ledger's outbox. They are for people: one that cannot be kept is only logged."""
    rows = tuple(EventRecord(kind=event.kind, text=event.text).to_lake() for event in events)
    try:
        await ledger.record(Record(token=f"limits|{host}|{uuid.uuid4().hex}", rows=rows))
    except BessemerError as error:
        _log.warning("events of the limits were not kept: %s", error.message)


def states_json(states: Mapping[str, LimiterState]) -> dict[str, Any]:
    """States of limiters as JSON, by key."""
    return {
        key: {**state._asdict(), "flows": {name: flow._asdict() for name, flow in state.flows.items()}}
        for key, state in states.items()
    }


def _section(provider: str, settings: BackendSettings) -> ProviderSettings | CompatibleSettings | None:
    if provider in VENDORS:
        return settings.vendor(provider)
    return settings.compatible if provider == "openai-compatible" else None
