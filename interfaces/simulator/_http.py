"""One exchange over HTTP, the same for every vendor: wait, answer as JSON or as a stream, or fail as told."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from bessemer.interfaces.simulator._answers import Answer
from bessemer.interfaces.simulator._asked import Asked
from bessemer.interfaces.simulator._desk import Desk, Failed, Served

FOREVER = 86400.0
PAUSES = 8
"""A stream's pieces come in at most so many goes."""
WEB_PAGE = (
    "<!doctype html><html><head><title>Sign in</title></head><body>This network wants you to sign in.</body></html>"
)


class BadRequest(Exception):
    """The request is not what the vendor's format asks for; the message says why."""

    def __init__(self, message: str, *, kind: str = "bad_request", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.status = status


class Dialect(Protocol):
    """A vendor's words for an answer, a stream, an error and the headers around them."""

    def body(self, asked: Asked, answer: Answer, request_id: str) -> dict[str, Any]: ...

    def events(self, asked: Asked, answer: Answer, request_id: str) -> Iterator[bytes]: ...

    def error(self, failed: Failed, request_id: str) -> dict[str, Any]: ...

    def headers(self, served: Served, desk: Desk) -> dict[str, str]: ...


async def exchange(request: web.Request, desk: Desk, dialect: Dialect, asked: Asked) -> web.StreamResponse:
    """Serve one live request."""
    with desk.receive(asked) as served:
        headers = dialect.headers(served, desk)
        if isinstance(served.reply, Failed):
            return refusal(dialect, served.reply, served.request_id, headers)
        if served.act == "timeout":
            await asyncio.sleep(FOREVER if served.silence is None else served.silence)
            return cut(request)
        if served.act == "html":
            return web.Response(text=WEB_PAGE, content_type="text/html", headers=headers)
        if asked.stream:
            return await _stream(request, served, list(dialect.events(asked, served.reply, served.request_id)), headers)
        if served.wait:
            await asyncio.sleep(served.wait)
        body = dump(dialect.body(asked, served.reply, served.request_id))
        if served.act == "dropped":
            return await _broken(request, served, body, headers)
        return web.Response(body=body, content_type="application/json", headers=headers)


def refusal(dialect: Dialect, failed: Failed, request_id: str, headers: Mapping[str, str]) -> web.Response:
    """An error in the vendor's words, with `retry-after` where there is one."""
    extra = dict(headers)
    if failed.retry_after is not None:
        extra["retry-after"] = str(max(1, math.ceil(failed.retry_after))) if failed.retry_after else "0"
    body = dump(dialect.error(failed, request_id))
    return web.Response(body=body, status=failed.status, content_type="application/json", headers=extra)


async def _stream(
    request: web.Request, served: Served, events: Sequence[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Half of the wait before the first byte, the rest between the pieces."""
    await asyncio.sleep(served.wait / 2)
    if served.act == "dropped":
        if served.chance < 0.5:
            return cut(request)
        events = events[: max(1, len(events) // 2)]
    response = web.StreamResponse(headers={**headers, "cache-control": "no-cache"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    size = max(1, -(-len(events) // PAUSES))
    for start in range(0, len(events), size):
        await response.write(b"".join(events[start : start + size]))
        if served.wait:
            await asyncio.sleep(served.wait / 2 / PAUSES)
    if served.act == "dropped":
        return cut(request, response)
    await response.write_eof()
    return response


async def _broken(request: web.Request, served: Served, body: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    """Cut the connection, before the answer or in the middle of it."""
    if served.chance < 0.5:
        return cut(request)
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return cut(request, response)


def cut(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection at once."""
    if request.transport is not None:
        request.transport.close() if response is not None else request.transport.abort()
    return response or web.Response()


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def load(raw: bytes) -> dict[str, Any]:
    """A JSON object. Raises BadRequest."""
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The body of the request is not a JSON object.")
    return value


def wanted(body: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """A field that must be there. Raises BadRequest with its name."""
    value = body.get(name)
    if value is None:
        raise BadRequest(f"{name}: Field required")
    if not isinstance(value, kind):
        raise BadRequest(f"{name}: Input has the wrong type ({type(value).__name__})")
    return value


def sse(value: Mapping[str, Any], event: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + dump(value) + b"\n\n"


def pieces(text: str, size: int = 24) -> Iterator[str]:
    """Text in the pieces in which a stream brings it."""
    for start in range(0, len(text), size):
        yield text[start : start + size]


def key_problem(key: str) -> str:
    """Why a key is refused; empty where it is taken. Any key will do that does not contain the word `invalid`."""
    if not key:
        return "missing"
    return "invalid" if "invalid" in key.lower() else ""
