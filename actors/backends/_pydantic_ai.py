"""The adapter over pydantic-ai's models: our request in, our Reply or BackendFailure out.

Structured output uses the vendor's JSON-schema mode and is validated here, so that usage survives a broken answer.
"""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

from bessemer.actors.backends._context import current_call
from bessemer.actors.backends._failures import KeySource, failure_of
from bessemer.actors.backends._headers import rate_headers, request_id_of, watch_headers
from bessemer.actors.backends._messages import messages_of
from bessemer.actors.backends._prepared import parameters_of, prepare_once
from bessemer.actors.backends._schema import schema_error
from bessemer.actors.backends.base import BackendFailure, CallFailure, FinishReason, ModelRequest, Reply, Usage
from bessemer.cluster.text import one_line

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.models.batch import BatchRequest
    from pydantic_ai.settings import ModelSettings

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
    "error": "error",
}
_REASONING = ("reasoning_tokens", "thinking_tokens", "thoughts_tokens")
"""The vendors' words for one thing; an answer has at most one of them."""
VENDOR_COST = "vendor_cost"
"""Entry of a response's `provider_details`: the vendor's bill in units of 1e-10 dollars."""
RAW_TEXT_LIMIT = 2000
"""Characters of an unusable answer that its failure carries."""


async def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Dialect:
    """What one vendor wants otherwise than the others."""

    settings: ModelSettings = field(default_factory=dict)  # type: ignore[assignment]
    """Sent with every request."""
    settings_for: Callable[[ModelRequest], ModelSettings] | None = None
    """Sent with one request, on top."""
    ignores: frozenset[str] = frozenset()
    """Settings of a request that the vendor refuses."""
    cache_points: bool = False
    """Whether the end of a shared prefix is marked."""
    json_schema: bool = True
    """False asks for JSON in words, for servers without a JSON-schema mode."""


PLAIN = Dialect()


class PydanticAIBackend:
    """One pydantic-ai model as a backend."""

    def __init__(
        self,
        name: str,
        model: Model[Any],
        *,
        close: Callable[[], Awaitable[None]] = _nothing,
        dialect: Dialect = PLAIN,
        key: KeySource | None = None,
    ) -> None:
        """`key` names the variable that a refused key came from, and keeps its value out of every message."""
        prepare_once(model)
        self.name = name
        self._model = model
        self._close = close
        self._dialect = dialect
        self._key = key
        self._names_the_caller = _is_on_loopback(model.base_url)

    async def request(self, request: ModelRequest) -> Reply:
        """One attempt, no retries. Raises BackendFailure; CancelledError passes through."""
        from pydantic_ai.direct import model_request

        started = time.monotonic()
        headers = watch_headers()
        try:
            messages = messages_of(request, cache_points=self._dialect.cache_points)
            parameters = self._parameters(request)
            async with asyncio.timeout(request.timeout):
                response = await model_request(
                    self._model,
                    messages,
                    model_settings=self._live_settings(request),
                    model_request_parameters=parameters,
                )
            found = {"seconds": round(time.monotonic() - started, 6), "rate_headers": rate_headers(headers)}
            return _reply(self.name, request, response, request_id_of(headers), **found)
        except BackendFailure as error:
            raise BackendFailure(_limited(error.failure, headers)) from None
        except Exception as error:
            raise BackendFailure(_limited(failure_of(error, self.name, self._key), headers)) from None

    async def close(self) -> None:
        await self._close()

    @property
    def model(self) -> Model[Any]:
        return self._model

    @property
    def client(self) -> Any:
        """The vendor's own SDK client, which every vendor's model has."""
        return cast("Any", self._model).client

    def failure(self, error: BaseException) -> CallFailure:
        """What `error`, raised while this model was used, means for a call."""
        return failure_of(error, self.name, self._key)

    def batch_request(self, request: ModelRequest, custom_id: str) -> BatchRequest:
        """The request as one of a batch: a time-out means nothing there, and the tier is the batch's own."""
        from pydantic_ai.models.batch import BatchRequest

        settings = dict(self._request_settings(request))
        kept = {name: value for name, value in settings.items() if name not in ("timeout", "service_tier")}
        return BatchRequest(
            custom_id=custom_id,
            messages=messages_of(request, cache_points=self._dialect.cache_points),
            model_settings=cast("ModelSettings", kept),
            model_request_parameters=self._parameters(request),
        )

    def reply_of(self, request: ModelRequest, response: ModelResponse) -> Reply:
        """The Reply of an answer that came another way than by `request`. Raises BackendFailure."""
        return _reply(self.name, request, response, response.provider_response_id or "")

    def _parameters(self, request: ModelRequest) -> ModelRequestParameters:
        return parameters_of(request, json_schema=self._dialect.json_schema)

    def _request_settings(self, request: ModelRequest) -> ModelSettings:
        dialect = self._dialect
        asked = {"temperature": request.temperature, "seed": request.seed, "thinking": request.effort}
        settings: dict[str, Any] = {
            **dialect.settings,
            **(dialect.settings_for(request) if dialect.settings_for else {}),
            "max_tokens": request.max_output_tokens,
            "timeout": request.timeout,
            **{name: value for name, value in asked.items() if value is not None and name not in dialect.ignores},
        }
        return cast("ModelSettings", settings)

    def _live_settings(self, request: ModelRequest) -> ModelSettings:
        """The settings of a request that travels alone: in a batch, headers belong to no single call."""
        settings: dict[str, Any] = {**self._request_settings(request)}
        if self._names_the_caller:
            settings["extra_headers"] = {**settings.get("extra_headers", {}), **caller_headers()}
        return cast("ModelSettings", settings)


def _is_on_loopback(url: str | None) -> bool:
    """Whether a server is this machine's: the simulator, which answers by persona and keeps books by attempt."""
    host = urlsplit(url or "").hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def caller_headers() -> dict[str, str]:
    """Who asks, for a simulated vendor; a real one is never told."""
    context = current_call.get()
    named = {"attempt": context.attempt, "persona": context.persona, "purpose": context.purpose}
    return {f"x-bessemer-{name}": quote(value, safe="|/") for name, value in named.items() if value}


def _limited(failure: CallFailure, headers: dict[str, str]) -> CallFailure:
    """The failure with what the answer's headers said of rate limits."""
    found = {"rate_headers": rate_headers(headers), "request_id": failure.request_id or request_id_of(headers)}
    return failure.model_copy(update=found)


def _reply(
    backend: str,
    request: ModelRequest,
    response: ModelResponse,
    header_id: str,
    **found: Any,
) -> Reply:
    """`found` is what the answer itself does not say."""
    text = "".join(part.content for part in response.parts if part.part_kind == "text")
    calls = any(part.part_kind == "tool-call" for part in response.parts)
    finish = _FINISH.get(response.finish_reason or "", "tool_calls" if calls else "stop")
    usage = _usage(response)
    request_id = header_id or response.provider_response_id or ""
    if (failure := _unusable(backend, response, finish, usage, request_id)) is not None:
        raise BackendFailure(failure)
    data = None
    if request.output_schema is not None and not calls:
        data = read_json(backend, text, request.output_schema, finish, usage, request_id)
    elif finish == "length":
        raise BackendFailure(truncated(backend, request.max_output_tokens, text, usage, request_id))
    return Reply(
        text=text,
        data=data,
        message=_message(response) if request.history or request.tools else {},
        usage=usage,
        finish="tool_calls" if calls else finish,
        model=response.model_name or "",
        request_id=request_id,
        **found,
    )


def _unusable(
    backend: str, response: ModelResponse, finish: FinishReason, usage: Usage, request_id: str
) -> CallFailure | None:
    details = response.provider_details or {}
    refusal = details.get("refusal")
    if refusal or details.get("finish_reason") == "refusal":
        message = one_line(f"{backend} refused: {refusal if isinstance(refusal, str) else 'no reason given'}")
        return CallFailure(kind="refusal", message=message, usage=usage, request_id=request_id)
    if finish == "content_filter":
        message = f"{backend}: the provider's content filter withheld the answer"
        return CallFailure(kind="content_filter", message=message, usage=usage, request_id=request_id)
    if finish == "error":
        message = f"{backend}: the provider ended the answer with an error"
        return CallFailure(kind="infrastructure", message=message, usage=usage, request_id=request_id)
    return None


def truncated(backend: str, limit: int, text: str, usage: Usage, request_id: str = "") -> CallFailure:
    """The failure of an answer that was cut off at its output limit."""
    said = one_line(text[-200:], 200)
    message = f"{backend}: the answer was cut off at its limit of {limit} output tokens; it ended with: {said}"
    return CallFailure(kind="truncated", message=message, usage=usage, request_id=request_id)


def read_json(
    backend: str, text: str, schema: dict[str, Any], finish: FinishReason, usage: Usage, request_id: str = ""
) -> Any:
    """The JSON value in `text`, which must satisfy `schema`. Raises BackendFailure (malformed_output, truncated)."""
    try:
        value = json.loads(unfence(text))
        wrong = schema_error(value, schema)
    except ValueError as error:
        value, wrong = None, f"not JSON: {error}"
    if not wrong:
        return value
    raw = text[:RAW_TEXT_LIMIT]
    if finish == "length":
        message = f"{backend}: the answer was cut off and is {wrong}; raw answer: {raw}"
        raise BackendFailure(CallFailure(kind="truncated", message=message, usage=usage, request_id=request_id))
    message = f"{backend}: the answer does not fit its schema: {wrong}; raw answer: {raw}"
    raise BackendFailure(CallFailure(kind="malformed_output", message=message, usage=usage, request_id=request_id))


def unfence(text: str) -> str:
    """What stands in the one Markdown fence that models like to put around JSON; all of it where there is no such."""
    stripped = text.strip()
    if stripped.startswith(("{", "[")) or stripped.count("```") != 2:
        return stripped
    return stripped.split("```")[1].removeprefix("json").strip()


def _usage(response: ModelResponse) -> Usage:
    used, details = response.usage, response.provider_details or {}
    reasoning = used.output_reasoning_tokens or sum(int(used.details.get(name, 0) or 0) for name in _REASONING)
    return Usage(
        input=used.input_tokens,
        cache_read=used.cache_read_tokens,
        cache_write=used.cache_write_tokens,
        cache_write_1h=used.cache_write_1h_tokens,
        output=used.output_tokens,
        reasoning=reasoning,
        tier=str(details.get("service_tier") or "").lower(),
        vendor_cost=details.get(VENDOR_COST),
    )


def _message(response: ModelResponse) -> dict[str, Any]:
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    dumped: dict[str, Any] = ModelMessagesTypeAdapter.dump_python([response], mode="json")[0]
    return dumped


def quiet_settings_warnings() -> None:
    """pydantic-ai warns for every request that carries a setting its model ignores; one host would flood its log."""
    from pydantic_ai.exceptions import UnsupportedSettingWarning

    warnings.simplefilter("ignore", UnsupportedSettingWarning)
    warnings.filterwarnings("ignore", message="Sampling parameters")
