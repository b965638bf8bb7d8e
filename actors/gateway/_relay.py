"""Carrying one request to its vendor and the answer back, and booking what it used."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable

from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession, web

from bessemer.actors.backends.base import CallFailure, FailureKind
from bessemer.actors.gateway._answers import AnswerTap
from bessemer.actors.gateway._dialects import Dialect, Upstream
from bessemer.actors.gateway._meter import Purchase
from bessemer.actors.gateway._sessions import Session

_SENT_ON = ("content-type", "accept", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta")
_GIVEN_BACK = ("content-type", "request-id", "x-request-id", "retry-after", "x-should-retry")
_RATES = ("anthropic-ratelimit-", "x-ratelimit-")
_UNBILLED = frozenset({503, 529})
_LARGEST_ERROR = 2**20
_KINDS: dict[int, FailureKind] = {
    401: "auth",
    403: "permission",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",
}


class Relay:
    """One request's way."""

    def __init__(self, request: web.Request, dialect: Dialect, upstream: Upstream, client: ClientSession) -> None:
        self.dialect = dialect
        self.path = request.path
        self._request = request
        self._upstream = upstream
        self._client = client

    async def carry(self, purchase: Purchase, body: bytes, session: Session) -> web.StreamResponse:
        """Send it and give the answer back as it comes; the money is booked before the answer's end is given."""
        headers = {name: self._request.headers[name] for name in _SENT_ON if name in self._request.headers}
        headers |= {**self.dialect.authorize(self._upstream.key), "Accept-Encoding": "identity"}
        address = self.dialect.upstream(self.path, self._upstream.base_url)
        query = {name: self._request.query[name] for name in ("alt", "beta") if name in self._request.query}
        purchase.send()
        session.requests += 1
        try:
            async with self._client.post(
                address, params=query, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    return await self._refused(answer, purchase, session)
                return await self._answered(answer, purchase, session)
        except (ClientError, TimeoutError, OSError) as error:
            unsent = isinstance(error, ClientConnectorError)
            kind: FailureKind = "timeout" if isinstance(error, TimeoutError) and not unsent else "connection"
            message = f"{self.dialect.vendor}: {type(error).__name__} while an agent's request was made"
            await self._drop(purchase, CallFailure(kind=kind, message=message, maybe_billed=not unsent), session)
            said = self.dialect.refusal("unavailable", f"bessemer: {message}")
            return web.json_response(said, status=503)

    async def _refused(self, answer: ClientResponse, purchase: Purchase, session: Session) -> web.StreamResponse:
        """The vendor's own error goes back as it is."""
        status = answer.status
        failure = CallFailure(
            kind=_KINDS.get(status, "bad_request" if 400 <= status < 500 else "infrastructure"),
            message=f"{self.dialect.vendor} answered an agent's request with HTTP {status}",
            retry_after=_seconds(answer.headers.get("retry-after")),
            maybe_billed=not 400 <= status < 500 and status not in _UNBILLED,
        )
        await self._drop(purchase, failure, session)
        said = await answer.content.read(_LARGEST_ERROR)
        back = 502 if 300 <= status < 400 else status
        return web.Response(body=said, status=back, headers=_headers(answer))

    async def _answered(self, answer: ClientResponse, purchase: Purchase, session: Session) -> web.StreamResponse:
        streamed = answer.content_type == "text/event-stream"
        tap = AnswerTap(self.dialect.reader(), streamed=streamed)
        back = web.StreamResponse(status=200, headers=_headers(answer))
        listening = await _tell(back.prepare(self._request))
        try:
            async for piece in answer.content.iter_any():
                tap.add(piece)
                listening = listening and await _tell(back.write(piece))
        except (ClientError, TimeoutError, OSError) as error:
            message = f"{self.dialect.vendor}: {type(error).__name__} in the middle of an answer to an agent"
            await self._drop(purchase, CallFailure(kind="connection", message=message, maybe_billed=True), session)
            if self._request.transport is not None:
                # What was begun cannot become an error any more; the agent sees what the vendor did.
                self._request.transport.abort()
            return back
        tap.end()
        await self._book(tap, purchase, session)
        if listening:
            await _tell(back.write_eof())
        return back

    async def _book(self, tap: AnswerTap, purchase: Purchase, session: Session) -> None:
        reader = tap.reader
        if reader.usage is None:
            message = f"{self.dialect.vendor}: the answer to an agent's request tells no usage"
            await self._drop(purchase, CallFailure(kind="truncated", message=message, maybe_billed=True), session)
            return
        await purchase.settle(reader.usage, reader.model, reader.request_id)
        session.note(reader.usage, purchase.cost)

    @staticmethod
    async def _drop(purchase: Purchase, failure: CallFailure, session: Session) -> None:
        session.lost += failure.maybe_billed
        await purchase.drop(failure)


async def _tell(work: Awaitable[object]) -> bool:
    """Whether the agent still listened."""
    with contextlib.suppress(ConnectionError, ClientError):
        await work
        return True
    return False


def _headers(answer: ClientResponse) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name.lower() in _GIVEN_BACK or name.lower().startswith(_RATES)
    }


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
