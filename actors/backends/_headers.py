"""The headers of the answer to the request in hand: an SDK's model keeps neither request ids nor rate limits."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

_current: ContextVar[dict[str, str] | None] = ContextVar("answer_headers", default=None)


def watch_headers() -> dict[str, str]:
    """A mapping that is filled with the headers of the next answer in this task, names in lower case."""
    seen: dict[str, str] = {}
    _current.set(seen)
    return seen


async def keep_headers(response: httpx2.Response) -> None:
    """A response hook of the SDKs' HTTP client."""
    seen = _current.get()
    if seen is not None:
        seen.clear()
        seen.update({name.lower(): value for name, value in response.headers.items()})


def request_id_of(headers: Mapping[str, str]) -> str:
    """The vendor's id of a request, from the headers of its answer; empty where there is none."""
    return headers.get("request-id") or headers.get("x-request-id") or ""


def rate_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that say what is left of a rate limit and when to come back, by the clock of the answer."""
    kept = {name: value for name, value in headers.items() if "ratelimit" in name or name.startswith("retry-after")}
    return kept | ({"date": headers["date"]} if kept and "date" in headers else {})
