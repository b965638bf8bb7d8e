"""A paid call as a message, and the ways it can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import RetrySettings
from bessemer.cluster.durations import jittered
from bessemer.cluster.ledger.operations import Outcome
from bessemer.cluster.run import Urgency


@dataclass(frozen=True)
class CallKey:
    """What a call is known by, in every process and on every replay."""

    run: str
    path: str
    index: int

    def __str__(self) -> str:
        return f"{self.run}:{self.path}:{self.index}"


class CallEnvelope(BaseModel):
    """One call of one step, on its way to the backend host that makes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    path: str
    """Path of the step."""
    index: int
    """Number of the call inside its step, from 0."""
    epoch: int
    scopes: tuple[str, ...]
    """The caps the call counts against."""
    request: ModelRequest
    persona: str = ""
    persona_content_hash: str = ""
    purpose: str = ""
    trace: str = ""
    """W3C traceparent of the step's span; decides nothing."""
    priority: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    """Weight of the run where several wait for one model: twice the priority, twice the turns."""
    urgency: Urgency = "now"
    """`overnight` sends the call through its vendor's batch API, where it has one."""
    within: float = Field(default=1800.0, gt=0)
    """Seconds from now in which the call must end, retries and waiting included."""

    @property
    def key(self) -> CallKey:
        return CallKey(self.run, self.path, self.index)


class BudgetRefused(BaseModel):
    """A cap refused the call. It is no outcome: under a raised cap the same call can still be made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failure: CallFailure
    facts: dict[str, Any] = Field(default_factory=dict)
    """`scope`, `left`, `needed`, `in_doubt`, as the ledger said."""


def read_answer(ended: Outcome | BudgetRefused) -> Reply | CallFailure:
    """What a call brought, live or replayed."""
    if isinstance(ended, BudgetRefused):
        return ended.failure
    if "reply" in ended.value:
        return Reply.model_validate(ended.value["reply"])
    return CallFailure.model_validate(ended.value["failure"])


def reply_value(reply: Reply) -> dict[str, Any]:
    return {"reply": reply.model_dump(mode="json")}


def failure_value(failure: CallFailure) -> dict[str, Any]:
    return {"failure": failure.model_dump(mode="json")}


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is followed by another one."""

    attempts: int = 6
    """Attempts in all."""
    seconds: float = 300.0
    """No attempt starts later than this many seconds after the first."""
    base: float = 0.5
    """Seconds before the second attempt, at most; doubled each time."""
    longest: float = 30.0
    """Longest pause in seconds, unless the provider asks for a longer one."""
    lost_resends: int = 1
    """How often a call is sent again whose request may have been billed without an answer."""

    @classmethod
    def of(cls, settings: RetrySettings) -> RetryPolicy:
        return cls(attempts=settings.attempts, seconds=settings.seconds, lost_resends=settings.lost_resends)

    def pause(self, failure: CallFailure, *, tries: int, lost: int, elapsed: float) -> float | None:
        """Seconds to wait before the next attempt; None to give up.

        `tries` attempts were made, `lost` of them may be billed; `elapsed` seconds have passed since the first.
        """
        if not failure.retryable or tries >= self.attempts or (failure.maybe_billed and lost > self.lost_resends):
            return None
        jitter = jittered(min(self.longest, self.base * 2 ** (tries - 1)), 0.0)
        pause = jitter if failure.retry_after is None else failure.retry_after + jitter * 0.2
        return pause if elapsed + pause <= self.seconds else None
