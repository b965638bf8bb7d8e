"""From an exception of pydantic-ai, an SDK or a transport to a CallFailure.

Only what certainly was not billed says so: a request that never left, any 4xx, 503 and 529.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from bessemer.actors.backends._grpc_failures import status_of, trailing
from bessemer.actors.backends._headers import request_id_of
from bessemer.actors.backends._rate_headers import retry_after
from bessemer.actors.backends.base import CallFailure, FailureKind
from bessemer.cluster.prices import nearest_models
from bessemer.cluster.redaction import redact
from bessemer.cluster.text import one_line

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelAPIError, ModelConnectionError, ModelHTTPError

SHORTEST_KEY = 8
"""Characters; a shorter placeholder would be found in ordinary words."""
_UNBILLED_SERVER_STATUS = frozenset({503, 529})
_FILTER_CODES = ("content_filter", "content_policy_violation", "flagged")


@dataclass(frozen=True)
class KeySource:
    """A vendor's key and the environment variable it came from."""

    variable: str
    value: str = field(repr=False)


class _Class(NamedTuple):
    kind: FailureKind
    retryable: bool


def failure_of(error: BaseException, backend: str, key: KeySource | None = None) -> CallFailure:
    """What `error`, raised while a request was made, means for the call. `key` never stands in its message."""
    failure = _failure_of(error, backend)
    message = failure.message
    if key is not None:
        if failure.kind == "auth":
            message = f"the key in {key.variable} was refused; set a valid one. {message}"
        message = message.replace(key.value, "(hidden)") if len(key.value) >= SHORTEST_KEY else message
    return failure.model_copy(update={"message": redact(message)})


def _failure_of(error: BaseException, backend: str) -> CallFailure:
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
    return CallFailure(kind="infrastructure", message=message, maybe_billed=True)


def _of_api_error(error: ModelAPIError, backend: str) -> CallFailure:
    from pydantic_ai.exceptions import ModelConnectionError, ModelHTTPError, ModelRequestTimeout

    if isinstance(error, ModelConnectionError):
        return _of_connection(error, backend)
    if (status := status_of(error)) is not None:
        return CallFailure(
            kind=status.kind,
            message=_say(backend, error),
            retryable=status.retryable,
            maybe_billed=status.maybe_billed,
            **_told(error, {}),
        )
    if isinstance(error, ModelHTTPError):
        return _of_status(error, backend)
    if isinstance(error, ModelRequestTimeout):
        return CallFailure(kind="timeout", message=_say(backend, error), retryable=True, maybe_billed=True)
    if _is_html(error.message) or _is_html(_undecoded(error)):
        return _not_an_api(backend)
    return CallFailure(kind="infrastructure", message=_say(backend, error), retryable=True, maybe_billed=True)


def _of_status(error: ModelHTTPError, backend: str) -> CallFailure:
    status = error.status_code
    found = _classify(error)
    billed = error.in_stream or (status >= 500 and status not in _UNBILLED_SERVER_STATUS)
    message = f"{backend} answered {_named(error)}: {_body_text(error)}"
    if status == 404 and not _is_html(error.body) and (near := nearest_models(backend)):
        message = f"{message}; known models with such a name: {', '.join(near)}"
    return CallFailure(
        kind=found.kind,
        message=message,
        retryable=found.retryable,
        maybe_billed=billed,
        **_told(error, {name.lower(): value for name, value in (error.headers or {}).items()}),
    )


class _Told(TypedDict):
    retry_after: float | None
    request_id: str


def _told(error: ModelAPIError, headers: Mapping[str, str]) -> _Told:
    """What the vendor says beside its error: how long to wait, and the id it knows the request by."""
    found = {**headers, **(trailing(error) or {})}
    wait = retry_after(found)
    return {"retry_after": error.retry_after if wait is None else wait, "request_id": request_id_of(found)}


def _named(error: ModelHTTPError) -> str:
    """The status as the vendor sent it."""
    if trailing(error) is not None:
        return f"gRPC {error.provider_error_code}"
    return f"HTTP {error.status_code}"


def _classify(error: ModelHTTPError) -> _Class:
    from pydantic_ai import exceptions as known

    code = " ".join(filter(None, (error.provider_error_code, error.provider_error_type))).lower()
    if any(word in code for word in _FILTER_CODES):
        return _Class("content_filter", retryable=False)
    if error.status_code < 500 and _is_html(error.body):
        return _Class("infrastructure", retryable=False)
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
    if error.status_code == 413 or (error.status_code == 400 and _says_context(error)):
        return _Class("context_length", retryable=False)
    return _Class("bad_request", retryable=False)


def _says_context(error: ModelHTTPError) -> bool:
    text = str(error.body).lower()
    return "context" in text and any(word in text for word in ("exceed", "too long", "maximum"))


def _is_html(body: object) -> bool:
    text = str(body)[:2000].lower()
    return "<html" in text or "<!doctype html" in text


def _undecoded(error: BaseException) -> str:
    """The text that could not be read as JSON, where that was the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, json.JSONDecodeError):
            return cause.doc
        cause = cause.__cause__ or cause.__context__
    return ""


def _body_text(error: ModelHTTPError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, dict) else inner
    if _is_html(body):
        return "a web page; check the base URL and any proxy"
    return one_line(body or "no message")


def _say(backend: str, error: BaseException) -> str:
    return one_line(f"{backend}: {error or type(error).__name__}")
