"""What a backend may know of a call beside its request: nothing that changes what is asked."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class CallContext(NamedTuple):
    """Which attempt is being sent, and for whom. Scripted backends match on it and keep books by it."""

    attempt: str = ""
    """`run|path|index|n`."""
    persona: str = ""
    purpose: str = ""
    epoch: int = 0
    scopes: tuple[str, ...] = ()
    """The caps the call counts against: what an agent's own requests count against too."""
    priority: float = 1.0
    """Weight of the run at the limits; an agent's own requests have it too."""


current_call: ContextVar[CallContext] = ContextVar("current_call", default=CallContext())  # noqa: B039  (frozen)
