"""From an exception of pydantic-ai, an SDK or a transport to a CallFailure.

Only what certainly was not billed says so: a request that never left, any 4xx, 503 and 529.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bessemer.actors.backends.base import CallFailure, FailureKind

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelAPIError, ModelConnectionError, ModelHTTPError

MAX_MESSAGE = 400
_UNBILLED_SERVER_STATUS = frozenset({503, 529})
_FILTER_CODES = ("content_filter", "content_policy_violation", "flagged")


class _Class(NamedTuple):
    kind: FailureKind
    retryable: bool


def one_line(text: object, limit: int = MAX_MESSAGE) -> str:
    """`text` on one line, cut at `limit` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def failure_of(error: BaseException, backend: str) -> CallFailure:
    """What `error`, raised while a request was made, means for the call."""
    from pydantic_ai.exceptions import ContentFilterError, ModelAPIError, UnexpectedModelBehavior, UserError

    if isinstance(error, ModelAPIError):
        return _of_api_error(error, backend)
    if isinstance(error, ContentFilterError):
        return CallFailure(kind="content_filter", message=_say(backend, error), maybe_billed=True)
    if isinstance(error, UnexpectedModelBehavior):
        if "expected JSON data" in error.message:
            return _not_an_api(backend)
        return CallFailure(kind="infrastructure", message=_say(backend, error), retryable=True, maybe_billed=True)
    if isinstance(error, UserError | NotImplementedError):
        return CallFailure(kind="bad_request", message=_say(backend, error))
    if isinstance(error, TimeoutError):
        return CallFailure(
            kind="timeout", message=f"{backend} did not answer in time", retryable=True, maybe_billed=True
        )
    return _of_transport(error, backend)


def _of_transport(error: BaseException, backend: str) -> CallFailure:
    """Errors a transport raises past the SDK (google-genai on aiohttp does), and everything unforeseen."""
    import aiohttp

    if isinstance(error, aiohttp.ClientError | OSError):
        kind: FailureKind = "timeout" if isinstance(error, TimeoutError) else "connection"
        unsent = _was_unsent(error)
        return CallFailure(kind=kind, message=_say(backend, error), retryable=True, maybe_billed=not unsent)
    return CallFailure(kind="infrastructure", message=_say(backend, error), maybe_billed=True)


def _of_connection(error: ModelConnectionError, backend: str) -> CallFailure:
    """The aiohttp transport of the SDKs calls every lost connection a connect time-out; the cause knows better."""
    from pydantic_ai.exceptions import ModelTimeoutError

    transport = _transport_error(error)
    unsent = error.phase in ("pool", "connect") if transport is None else _was_unsent(transport)
    late = isinstance(error, ModelTimeoutError) if transport is None else isinstance(transport, TimeoutError)
    said = transport if transport is not None and not late else error
    kind: FailureKind = "timeout" if late else "connection"
    return CallFailure(kind=kind, message=_say(backend, said), retryable=True, maybe_billed=not unsent)


def _transport_error(error: BaseException) -> BaseException | None:
    """What aiohttp raised, in the chain of causes of `error`."""
    import aiohttp

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _was_unsent(transport: BaseException) -> bool:
    """Whether the connection was never made, so that nothing can have been sent over it."""
    import aiohttp

    unsent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ConnectionRefusedError)
    return isinstance(transport, unsent)


def _not_an_api(backend: str) -> CallFailure:
    message = f"{backend}: the address answered with a web page or text, not JSON; check its base URL and any proxy"
    return CallFailure(kind="bad_request", message=message, maybe_billed=True)


def _of_api_error(error: ModelAPIError, backend: str) -> CallFailure:
    from pydantic_ai.exceptions import ModelConnectionError, ModelHTTPError, ModelRequestTimeout

    if isinstance(error, ModelHTTPError):
        return _of_status(error, backend)
    if isinstance(error, ModelConnectionError):
        return _of_connection(error, backend)
    if isinstance(error, ModelRequestTimeout):
        return CallFailure(kind="timeout", message=_say(backend, error), retryable=True, maybe_billed=True)
    if _answered_html(error):
        return _not_an_api(backend)
    return CallFailure(kind="infrastructure", message=_say(backend, error), retryable=True, maybe_billed=True)


def _of_status(error: ModelHTTPError, backend: str) -> CallFailure:
    status = error.status_code
    found = _classify(error)
    headers = error.headers or {}
    billed = error.in_stream or (status >= 500 and status not in _UNBILLED_SERVER_STATUS)
    return CallFailure(
        kind=found.kind,
        message=f"{backend} answered HTTP {status}: {_body_text(error)}",
        retryable=found.retryable,
        retry_after=error.retry_after,
        request_id=headers.get("request-id") or headers.get("x-request-id") or "",
        maybe_billed=billed,
    )


def _classify(error: ModelHTTPError) -> _Class:
    from pydantic_ai import exceptions as known

    code = " ".join(filter(None, (error.provider_error_code, error.provider_error_type))).lower()
    if any(word in code for word in _FILTER_CODES):
        return _Class("content_filter", retryable=False)
    if error.status_code in (408, 409):
        return _Class("timeout", retryable=True)
    if error.status_code == 403:
        return _Class("permission", retryable=False)
    classes: tuple[tuple[type[BaseException], _Class], ...] = (
        (known.ModelRateLimitError, _Class("rate_limited", retryable=True)),
        (known.ModelQuotaExceededError, _Class("rate_limited", retryable=False)),
        (known.ModelUnavailableError, _Class("overloaded", retryable=True)),
        (known.ModelServerError, _Class("infrastructure", retryable=True)),
        (known.ModelAuthenticationError, _Class("auth", retryable=False)),
        (known.ModelContextWindowExceededError, _Class("context_length", retryable=False)),
    )
    for category, found in classes:
        if isinstance(error, category):
            return found
    if error.status_code == 413 or _says_context(error):
        return _Class("context_length", retryable=False)
    return _Class("bad_request", retryable=False)


def _says_context(error: ModelHTTPError) -> bool:
    text = str(error.body).lower()
    return "context" in text and any(word in text for word in ("exceed", "too long", "maximum"))


def _answered_html(error: ModelAPIError) -> bool:
    text = error.message.lower()
    return "<html" in text or "<!doctype html" in text


def _body_text(error: ModelHTTPError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, dict) else inner
    text = one_line(body or "no message")
    if "<html" in text.lower():
        return "a web page; check the base URL and any proxy"
    return text


def _say(backend: str, error: BaseException) -> str:
    return one_line(f"{backend}: {error or type(error).__name__}")
