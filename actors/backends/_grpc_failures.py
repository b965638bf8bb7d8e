"""What a gRPC status means: the statuses without an HTTP sibling, and what stands in the trailing metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bessemer.actors.backends.base import FailureKind

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelAPIError


class Status(NamedTuple):
    """How a status ends a call."""

    kind: FailureKind
    retryable: bool
    maybe_billed: bool


_STATUSES = {
    "CANCELLED": Status("connection", retryable=True, maybe_billed=True),
    "DEADLINE_EXCEEDED": Status("timeout", retryable=True, maybe_billed=True),
    "ABORTED": Status("overloaded", retryable=True, maybe_billed=True),
    "UNKNOWN": Status("infrastructure", retryable=True, maybe_billed=True),
    "DATA_LOSS": Status("infrastructure", retryable=True, maybe_billed=True),
    "OUT_OF_RANGE": Status("bad_request", retryable=False, maybe_billed=False),
    "FAILED_PRECONDITION": Status("bad_request", retryable=False, maybe_billed=False),
    "UNIMPLEMENTED": Status("bad_request", retryable=False, maybe_billed=False),
    "ALREADY_EXISTS": Status("bad_request", retryable=False, maybe_billed=False),
}
_LOST = Status("connection", retryable=True, maybe_billed=True)
_TURNED_AWAY = ("overload", "capacity", "busy", "try again", "temporarily", "unavailable")
_LOST_WORDS = ("connection", "socket", "stream", "transport", "goaway", "keepalive")


def status_of(error: ModelAPIError) -> Status | None:
    """How an error that came over gRPC ends its call; None where its HTTP status says it all, or it did not."""
    code = error.provider_error_code or ""
    if code == "UNAVAILABLE" and trailing(error) is not None:
        # grpc gives a connection lost on the way the status that a full server sends, and nothing else tells them
        # apart: only a server that says it turned the request away certainly did not bill it.
        said = str(error.body).lower()
        turned_away = any(word in said for word in _TURNED_AWAY) and not any(word in said for word in _LOST_WORDS)
        return None if turned_away else _LOST
    return _STATUSES.get(code) if trailing(error) is not None else None


def trailing(error: BaseException) -> Mapping[str, str] | None:
    """The trailing metadata of the gRPC error behind `error`; None if there is no such error."""
    cause = error.__cause__
    read = getattr(cause, "trailing_metadata", None)
    if read is None:
        return None
    pairs = read() or ()
    return {str(name).lower(): value for name, value in pairs if isinstance(value, str)}
