"""What telemetry says of a call, in the names of OpenTelemetry's GenAI conventions; ours are under `bessemer.`."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from bessemer.actors._calls import CallEnvelope
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply, Usage, split_name
from bessemer.cluster import telemetry
from bessemer.cluster.redaction import redact

PROVIDERS = {"google": "gcp.gemini", "xai": "x_ai"}
"""Providers whose name in the conventions is another."""
TOKEN_BUCKETS = tuple(4**power for power in range(14))
SECOND_BUCKETS = tuple(0.01 * 2**power for power in range(14))

Price = Callable[[Usage], int]
Ended = Callable[[Reply | CallFailure, Price], None]


def _nothing(result: Reply | CallFailure, price: Price) -> None:
    return None


@contextlib.contextmanager
def watch_call(envelope: CallEnvelope, attempt: str) -> Iterator[Ended]:
    """A span around one request to a provider; call what it gives with the result and its pricing in micro-dollars."""
    if not telemetry.is_on():
        yield _nothing
        return
    request = envelope.request
    name = split_name(request.backend)
    provider, model = (name.provider, name.model) if name else ("", request.backend)
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
    }
    began = time.monotonic()
    asked = {**about, **_asked(envelope, attempt)}
    with telemetry.span(f"chat {model}", asked, parent=envelope.trace, client=True) as watched:

        def ended(result: Reply | CallFailure, price: Price) -> None:
            cost = price(result.usage) if result.usage else 0
            watched.set(_brought(result, cost))
            if telemetry.wants_content():
                watched.set(_said(request, result))
            if isinstance(result, CallFailure):
                # What a vendor says of a failure may quote the prompt.
                watched.fail(result.kind, result.message if telemetry.wants_content() else result.kind)
            _measure(about, result, cost, time.monotonic() - began)

        yield ended


def _asked(envelope: CallEnvelope, attempt: str) -> dict[str, Any]:
    request = envelope.request
    return {
        "gen_ai.request.max_tokens": request.max_output_tokens,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.seed": request.seed,
        "gen_ai.output.type": "text" if request.output_schema is None else "json",
        "gen_ai.conversation.id": envelope.run,
        "gen_ai.agent.name": envelope.persona or None,
        "bessemer.step": envelope.path,
        "bessemer.call": envelope.index,
        "bessemer.attempt": attempt,
        "bessemer.purpose": envelope.purpose or None,
    }


def _brought(result: Reply | CallFailure, cost: int) -> dict[str, Any]:
    usage, answered = result.usage, isinstance(result, Reply)
    told: dict[str, Any] = {"gen_ai.response.id": result.request_id or None, "bessemer.cost_micro_usd": cost}
    if isinstance(result, Reply):
        told |= {"gen_ai.response.model": result.model or None, "gen_ai.response.finish_reasons": [result.finish]}
    if usage is not None:
        told |= {
            "gen_ai.usage.input_tokens": usage.input,
            "gen_ai.usage.output_tokens": usage.output,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read or None,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write or None,
        }
    return told if answered else {**told, "bessemer.maybe_billed": getattr(result, "maybe_billed", None)}


def _measure(about: dict[str, Any], result: Reply | CallFailure, cost: int, seconds: float) -> None:
    answered = isinstance(result, Reply)
    model = result.model if isinstance(result, Reply) else ""
    told = {**about, "gen_ai.response.model": model or None}
    error = None if answered else getattr(result, "kind", None)
    duration = {**told, "error.type": error}
    telemetry.record("gen_ai.client.operation.duration", "s", seconds, duration, SECOND_BUCKETS)
    if result.usage is not None:
        for kind, tokens in (("input", result.usage.input), ("output", result.usage.output)):
            by_kind = {**told, "gen_ai.token.type": kind}
            telemetry.record("gen_ai.client.token.usage", "{token}", tokens, by_kind, TOKEN_BUCKETS)
        telemetry.add("bessemer.client.spend", "{micro_usd}", cost, told)


def _said(request: ModelRequest, result: Reply | CallFailure) -> dict[str, Any]:
    """Prompts and answers in the conventions' form of messages, as JSON."""
    prompt = "\n\n".join(part for part in (request.shared_prefix, request.prompt) if part)
    told = [{"role": "user", "parts": [_text(prompt)]}] if prompt else []
    for message in request.history:
        role = "assistant" if message.get("kind") == "response" else "user"
        told.append({"role": role, "parts": [_part(part) for part in message.get("parts", ())]})
    answer = None
    if isinstance(result, Reply):
        parts = [_part(part) for part in result.message.get("parts", ())] or [_text(result.text)]
        answer = _json([{"role": "assistant", "parts": parts, "finish_reason": result.finish}])
    return {
        "gen_ai.system_instructions": _json([_text(request.instructions)]) if request.instructions else None,
        "gen_ai.input.messages": _json(told),
        "gen_ai.output.messages": answer,
    }


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind, call = part.get("part_kind", "text"), part.get("tool_call_id")
    if kind == "tool-call":
        return {"type": "tool_call", "id": call, "name": part.get("tool_name"), "arguments": _hidden(part.get("args"))}
    if kind == "tool-return":
        return {"type": "tool_call_response", "id": call, "response": _hidden(part.get("content"))}
    return _text(_hidden(part.get("content", "")))


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": redact(content)}


def _hidden(value: Any) -> str:
    return redact(value if isinstance(value, str) else _json(value))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
