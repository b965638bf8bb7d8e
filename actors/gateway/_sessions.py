"""What an agent's run may do at the gateway, and what it did."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from dataclasses import dataclass, field
from typing import Any

from bessemer.actors.backends.base import Usage
from bessemer.actors.gateway._meter import Parent


@dataclass
class Session:
    """One run of an agent. Its token opens nothing before it and nothing after it."""

    parent: Parent
    vendors: frozenset[str]
    max_output_tokens: int
    token: str = field(default_factory=lambda: "bsm-" + secrets.token_urlsafe(24))
    ended: bool = False
    requests: int = 0
    """Requests that were sent on."""
    cost: int = 0
    """Micro-dollars of what is settled."""
    usage: Usage = field(default_factory=Usage)
    lost: int = 0
    """Requests that may be billed without an answer."""
    refusals: list[str] = field(default_factory=list)
    """Why requests were refused, in order."""
    budget: dict[str, Any] | None = None
    """What the ledger said when a cap refused a request."""
    budget_message: str = ""
    running: set[asyncio.Task[Any]] = field(default_factory=set)
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    def next_serial(self) -> int:
        return next(self._serial)

    def note(self, usage: Usage, cost: int) -> None:
        """Add what one request used."""
        self.cost += cost
        self.usage = self.usage + usage


class Sessions:
    """The sessions that are open, by token."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}

    def add(self, session: Session) -> Session:
        self._open[session.token] = session
        return session

    def end(self, session: Session) -> None:
        session.ended = True
        self._open.pop(session.token, None)

    def find(self, token: str) -> Session | None:
        """The session of a token; no comparison tells how much of a wrong one was right."""
        found = [one for known, one in self._open.items() if secrets.compare_digest(known.encode(), token.encode())]
        return found[0] if found else None

    def all(self) -> list[Session]:
        return list(self._open.values())
