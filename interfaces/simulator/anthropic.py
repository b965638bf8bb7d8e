"""Anthropic's Messages API: JSON and server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bessemer.interfaces.simulator._answers import Answer, Usage
from bessemer.interfaces.simulator._asked import Asked, CacheLife, Segment, Tool, caller_of, digest_of, picture
from bessemer.interfaces.simulator._desk import Desk, Failed, Served
from bessemer.interfaces.simulator._http import BadRequest, exchange, key_problem, load, pieces, refusal, sse, wanted
from bessemer.interfaces.simulator._models import models_of

ERROR_TYPES = {
    "rate_limited": "rate_limit_error",
    "overloaded": "overloaded_error",
    "server_error": "api_error",
    "auth": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
}
STOP = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "refusal": "refusal",
    "content_filter": "refusal",
}


EMPTY_BLOCKS: dict[str, dict[str, Any]] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}


class Messages:
    """The words of the Messages API."""

    def body(self, asked: Asked, answer: Answer, request_id: str) -> dict[str, Any]:
        return {
            "id": f"msg_{request_id}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": list(_blocks(answer)),
            "stop_reason": STOP[answer.finish],
            "stop_sequence": None,
            "stop_details": _stop_details(answer),
            "usage": _usage(answer.usage, batch=bool(asked.batch)),
        }

    def events(self, asked: Asked, answer: Answer, request_id: str) -> Iterator[bytes]:
        message = self.body(asked, answer, request_id)
        usage = message["usage"]
        start = {**message, "content": [], "stop_reason": None, "stop_details": None}
        start["usage"] = {**usage, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 0}}
        yield sse({"type": "message_start", "message": start}, "message_start")
        for index, block in enumerate(message["content"]):
            yield from _block_events(index, block)
        delta = {"stop_reason": message["stop_reason"], "stop_sequence": None, "stop_details": message["stop_details"]}
        yield sse({"type": "message_delta", "delta": delta, "usage": usage}, "message_delta")
        yield sse({"type": "message_stop"}, "message_stop")

    def error(self, failed: Failed, request_id: str) -> dict[str, Any]:
        kind = ERROR_TYPES.get(failed.kind, "invalid_request_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": failed.message},
            "request_id": f"req_{request_id}",
        }

    def headers(self, served: Served, desk: Desk) -> dict[str, str]:
        headers = {"request-id": f"req_{served.request_id}", "anthropic-organization-id": "simulated"}
        if not desk.settings.show_limits:
            return headers
        given = served.allowance
        limit = round(given.per_second * 60) if given is not None else 100_000
        remaining = given.remaining if given is not None else limit - 1
        reset = datetime.now(UTC) + timedelta(seconds=given.full_in if given is not None else 0.0)
        stamp = reset.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for name, most, left in (
            ("requests", limit, remaining),
            ("tokens", 50_000_000, 49_000_000),
            ("input-tokens", 40_000_000, 39_000_000),
            ("output-tokens", 10_000_000, 9_000_000),
        ):
            headers[f"anthropic-ratelimit-{name}-limit"] = str(most)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(left)
            headers[f"anthropic-ratelimit-{name}-reset"] = stamp
        return headers


DIALECT = Messages()


def routes(desk: Desk) -> list[web.RouteDef]:
    """The paths of the Messages API."""

    async def messages(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            check_key(request)
            asked = read(load(raw), digest_of(b"anthropic", raw), request.headers)
        except BadRequest as error:
            return complain(desk, error)
        return await exchange(request, desk, DIALECT, asked)

    async def count_tokens(request: web.Request) -> web.Response:
        from bessemer.interfaces.simulator._answers import prompt_tokens

        try:
            check_key(request)
            asked = read({"max_tokens": 1, **load(await request.read())}, b"", request.headers)
        except BadRequest as error:
            return complain(desk, error)
        return web.json_response({"input_tokens": prompt_tokens(asked)})

    return [
        web.post("/v1/messages", messages),
        web.post("/v1/messages/count_tokens", count_tokens),
    ]


def model_list(_: web.Request) -> dict[str, Any]:
    """`GET /v1/models` as Anthropic's clients read it."""
    data = [
        {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for name in models_of("anthropic")
    ]
    return {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}


def check_key(request: web.Request) -> None:
    """Take `x-api-key` or a bearer. Raises BadRequest."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if problem := key_problem(request.headers.get("x-api-key", "") or bearer):
        raise BadRequest(f"x-api-key is {problem}", kind="auth", status=401)


def complain(desk: Desk, error: BadRequest) -> web.Response:
    """A refusal that never reached a model."""
    identity = desk.request_id()
    failed = Failed(error.kind, error.status, error.message)  # type: ignore[arg-type]
    return refusal(DIALECT, failed, identity, {"request-id": f"req_{identity}"})


def read(body: dict[str, Any], digest: bytes, headers: Mapping[str, str], batch: str = "", key: str = "") -> Asked:
    """A request of the Messages API. Raises BadRequest."""
    config = body.get("output_config") or {}
    form = config.get("format") or body.get("output_format") or {}
    choice = body.get("tool_choice") or {}
    metadata = body.get("metadata") or {}
    thinks = (body.get("thinking") or {}).get("type", "disabled") != "disabled"
    return Asked(
        vendor="anthropic",
        endpoint="messages",
        model=wanted(body, "model", str),
        segments=tuple(_segments(body)),
        digest=digest,
        schema=form.get("schema") if form.get("type") == "json_schema" else None,
        tools=tuple(
            Tool(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or () if "name" in tool
        ),
        must_call={"tool": choice.get("name", ""), "any": ""}.get(choice.get("type", "")),
        max_output=wanted(body, "max_tokens", int),
        effort=str(config.get("effort") or "medium") if thinks else "",
        stream=bool(body.get("stream")) and not batch,
        caller=caller_of(headers, key or str(metadata.get("user_id") or "")),
        batch=batch,
    )


def _segments(body: dict[str, Any]) -> Iterator[Segment]:
    for tool in body.get("tools") or ():
        said = json.dumps({key: value for key, value in tool.items() if key != "cache_control"}, sort_keys=True)
        yield Segment("tools", said, _life(tool))
    system = body.get("system") or ()
    for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        yield Segment("system", str(block.get("text", "")), _life(block))
    found: list[Segment] = []
    for message in wanted(body, "messages", list):
        role = "assistant" if message.get("role") == "assistant" else "user"
        content = message.get("content") or ""
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            found.append(Segment(role, _block_text(block), _life(block)))  # type: ignore[arg-type]
    if not found:
        raise BadRequest("messages: at least one message is required")
    if life := _life(body):
        found[-1] = found[-1]._replace(cache=life)
    yield from found


def _block_text(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind in ("image", "document"):
        source = block.get("source") or {}
        if source.get("type") == "text":
            return str(source.get("data", ""))
        return picture(str(source.get("data") or source.get("url") or source.get("file_id") or ""))
    if kind == "tool_use":
        return f"{block.get('name', '')} {json.dumps(block.get('input'), sort_keys=True)}"
    if kind == "tool_result":
        inner = block.get("content") or ""
        return inner if isinstance(inner, str) else "\n".join(map(_block_text, inner))
    return str(block.get("thinking", ""))


def _life(block: Mapping[str, Any]) -> CacheLife:
    control = block.get("cache_control")
    if not control:
        return ""
    return "1h" if control.get("ttl") == "1h" else "5m"


def _blocks(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.thinking:
        yield {"type": "thinking", "thinking": answer.thinking, "signature": "c2ltdWxhdGVk"}
    if answer.text and answer.finish != "refusal":
        yield {"type": "text", "text": answer.text, "citations": None}
    for call in answer.calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}


def _block_events(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    kind = block["type"]
    yield sse(
        {"type": "content_block_start", "index": index, "content_block": {**block, **EMPTY_BLOCKS[kind]}},
        "content_block_start",
    )
    if kind == "tool_use":
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(json.dumps(block["input"]))]
    elif kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    else:
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    for delta in deltas:
        yield sse({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")
    yield sse({"type": "content_block_stop", "index": index}, "content_block_stop")


def _stop_details(answer: Answer) -> dict[str, Any] | None:
    if STOP[answer.finish] != "refusal":
        return None
    category = "general_harms" if answer.finish == "content_filter" else None
    return {"type": "refusal", "category": category, "explanation": answer.text or "The answer was withheld."}


def _usage(usage: Usage, *, batch: bool) -> dict[str, Any]:
    written = usage.cache_write_5m + usage.cache_write_1h
    return {
        "input_tokens": usage.input - usage.cache_read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": None,
        "service_tier": "batch" if batch else "standard",
    }
