"""Whether a request may be made, and buying it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiohttp import web

from bessemer.actors.backends.base import ModelRequest
from bessemer.actors.gateway._anthropic import Messages
from bessemer.actors.gateway._dialects import STATUS, Asked, Dialect, RefusalKind, Unbounded
from bessemer.actors.gateway._google import Generate
from bessemer.actors.gateway._meter import REQUEST_SECONDS, Meter, Purchase
from bessemer.actors.gateway._openai import Chat, Responses
from bessemer.actors.gateway._sessions import Session
from bessemer.cluster.errors import (
    BessemerError,
    BudgetExhausted,
    DeadlineExceeded,
    LedgerUnavailable,
    UnpricedModel,
)
from bessemer.cluster.limits import CircuitOpen

DIALECTS: tuple[Dialect, ...] = (Messages(), Responses(), Chat(), Generate())


class Refused(Exception):
    """A request that is not sent on."""

    def __init__(self, kind: RefusalKind, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind: RefusalKind = kind
        self.message = message
        self.retry_after = retry_after


class Admitted(NamedTuple):
    purchase: Purchase
    body: bytes


def dialect_of(path: str) -> Dialect | None:
    return next((one for one in DIALECTS if one.matches(path)), None)


def token_of(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The token, wherever the agent's SDK puts what it takes for a key."""
    bearer = headers.get("Authorization", "")
    given = bearer[7:] if bearer.lower().startswith("bearer ") else ""
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or given or query.get("key", "")


def refuse(
    dialect: Dialect | None, kind: RefusalKind, message: str, retry_after: float | None = None
) -> web.StreamResponse:
    """The refusal in the vendor's own format; `x-should-retry` keeps SDKs from asking again."""
    body = (dialect or DIALECTS[0]).refusal(kind, f"bessemer: {message}")
    headers = {"x-should-retry": "true" if kind in ("overloaded", "unavailable") else "false"}
    if retry_after is not None:
        headers["retry-after"] = f"{max(1, round(retry_after))}"
    return web.json_response(body, status=STATUS[kind], headers=headers)


async def admit(meter: Meter, session: Session, dialect: Dialect, path: str, body: bytes) -> Admitted:
    """Read a request and buy it. Raises Refused."""
    try:
        asked = dialect.read(path, _object(body), session.max_output_tokens)
    except Unbounded as reason:
        raise Refused("bad_request", str(reason)) from None
    sent = json.dumps(asked.body, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        return Admitted(await _buy(meter, session, asked, sent), sent)
    except BudgetExhausted as refusal:
        session.budget, session.budget_message = refusal.facts, refusal.message
        raise Refused("budget", refusal.message) from None
    except UnpricedModel as refusal:
        raise Refused("bad_request", refusal.message) from None
    except CircuitOpen as refusal:
        raise Refused("overloaded", str(refusal), refusal.retry_after) from None
    except (LedgerUnavailable, DeadlineExceeded) as refusal:
        raise Refused("unavailable", refusal.message) from None
    except BessemerError as refusal:
        raise Refused("permission", refusal.message) from None


async def _buy(meter: Meter, session: Session, asked: Asked, sent: bytes) -> Purchase:
    if session.ended:
        raise Refused("auth", "the run of this token has ended")
    request = ModelRequest(
        backend=asked.backend,
        prompt=sent.decode(),
        max_output_tokens=asked.max_output_tokens,
        timeout=REQUEST_SECONDS,
    )
    return await meter.reserve(session.parent, session.next_serial(), request, len(sent), asked.images)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Unbounded("the request is not JSON") from None
    if not isinstance(value, dict):
        raise Unbounded("the request is not a JSON object")
    return value
