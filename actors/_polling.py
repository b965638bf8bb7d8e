"""What callers and backend hosts say to each other: calls one way, how they ended the other.

A `Poll` brings calls to a host and waits there for endings, of these calls or of earlier ones; `Endings` are what it
comes back with. Nothing is kept open for longer than a poll, so that a caller who dies holds up nobody else.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.cluster.errors import BessemerError, error_named
from bessemer.cluster.ledger.operations import Outcome

HOLD_SECONDS = 30.0
"""How long a poll waits at a host for something to tell."""


class Poll(BaseModel):
    """One message of a client to a host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client: str
    talk: int = 0
    """Goes up each time the client begins anew; what comes late of an older one is not heeded."""
    before: int = 0
    """Every number that the client had given when it sent this is smaller."""
    calls: dict[int, CallEnvelope] = Field(default_factory=dict)
    """By the client's own numbers. One that the host has already is not begun again."""
    cancelled: tuple[int, ...] = ()
    """Calls for which nobody waits any more. They may be on their way still."""
    in_hand: tuple[int, ...] | None = None
    """All below `before` that the client waits for, where the two begin to talk or begin anew; otherwise None."""


class Ending(BaseModel):
    """How one call ended: an outcome, a refused budget, or an error by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    """The call, as its client counts."""
    outcome: Outcome | None = None
    refused: BudgetRefused | None = None
    error: str = ""
    """A class of `bessemer.cluster.errors`."""
    message: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, number: int, ended: Outcome | BudgetRefused) -> Ending:
        if isinstance(ended, Outcome):
            return cls(number=number, outcome=ended)
        return cls(number=number, refused=ended)

    @classmethod
    def failed(cls, number: int, error: BessemerError) -> Ending:
        return cls(number=number, error=type(error).__name__, message=error.message, facts=error.facts)

    def result(self) -> Outcome | BudgetRefused:
        """The outcome; raises the error the call ended with."""
        if self.outcome is not None:
            return self.outcome
        if self.refused is not None:
            return self.refused
        raise error_named(self.error, self.message, self.facts)


class Endings(BaseModel):
    """What a poll comes back with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endings: tuple[Ending, ...] = ()
    stranger: bool = False
    """The host does not know the client, because it was started anew: nothing of the poll was done."""
    idle: bool = False
    """Nothing of the client's is under way at the host."""
    fault: str = ""
    """Why the host could not read the poll."""
