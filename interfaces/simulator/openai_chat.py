"""OpenAI's Chat Completions API, which many other servers speak too: JSON and server-sent events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from bessemer.interfaces.simulator._answers import Answer, Usage
from bessemer.interfaces.simulator._asked import Asked, Segment, Tool, caller_of
from bessemer.interfaces.simulator._http import BadRequest, pieces, sse, wanted
from bessemer.interfaces.simulator._openai_words import OpenAIWords, content_text, tools_text

FINISH = {"refusal": "stop"}


class Completions(OpenAIWords):
    """The words of Chat Completions."""

    def body(self, asked: Asked, answer: Answer, request_id: str) -> dict[str, Any]:
        refused = answer.finish == "refusal"
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused or (answer.calls and not answer.text) else answer.text,
            "refusal": answer.text if refused else None,
            "annotations": [],
        }
        if answer.calls:
            message["tool_calls"] = _calls(answer)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        return {
            **_head(asked, request_id, "chat.completion"),
            "choices": [choice],
            "usage": usage_of(answer.usage),
        }

    def events(self, asked: Asked, answer: Answer, request_id: str) -> Iterator[bytes]:
        head = _head(asked, request_id, "chat.completion.chunk")
        for delta in _deltas(answer):
            yield sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        yield sse({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": _finish(answer)}]})
        yield sse({**head, "choices": [], "usage": usage_of(answer.usage)})
        yield b"data: [DONE]\n\n"


def read(body: dict[str, Any], digest: bytes, headers: Mapping[str, str], batch: str = "", key: str = "") -> Asked:
    """A request of Chat Completions. Raises BadRequest."""
    form = body.get("response_format") or {}
    schema = {"json_schema": (form.get("json_schema") or {}).get("schema") or {}, "json_object": {}}
    choice = body.get("tool_choice")
    named = (choice.get("function") or {}).get("name", "") if isinstance(choice, dict) else None
    tools = [tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function"]
    metadata = body.get("metadata") or {}
    return Asked(
        vendor="openai",
        endpoint="chat.completions",
        model=wanted(body, "model", str),
        segments=tuple(_segments(body)),
        digest=digest,
        schema=schema.get(form.get("type", "")),
        tools=tuple(Tool(str(tool.get("name")), tool.get("parameters") or {}) for tool in tools),
        must_call="" if choice == "required" else named,
        max_output=body.get("max_completion_tokens") or body.get("max_tokens"),
        effort=str(body.get("reasoning_effort") or ""),
        seed=body.get("seed"),
        stream=bool(body.get("stream")) and not batch,
        caller=caller_of(headers, key or str(metadata.get("attempt") or "")),
        batch=batch,
    )


def _segments(body: dict[str, Any]) -> Iterator[Segment]:
    if said := tools_text(body.get("tools") or ()):
        yield Segment("tools", said)
    messages = wanted(body, "messages", list)
    if not messages:
        raise BadRequest("Invalid 'messages': empty array.")
    for message in messages:
        role, text = message.get("role"), content_text(message.get("content"))
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            text += f"{function.get('name')} {function.get('arguments')}"
        if role in ("system", "developer"):
            yield Segment("system", text)
        else:
            yield Segment("assistant" if role == "assistant" else "user", text)


def _head(asked: Asked, request_id: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request_id}",
        "object": kind,
        "created": int(time.time()),
        "model": asked.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _finish(answer: Answer) -> str:
    return FINISH.get(answer.finish, answer.finish)


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.json}}
        for call in answer.calls
    ]


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    field = "refusal" if answer.finish == "refusal" else "content"
    for piece in pieces(answer.text):
        yield {field: piece}
    for index, call in enumerate(_calls(answer)):
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{"index": index, **call, "function": {**call["function"], "arguments": ""}}]}
        for piece in pieces(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def usage_of(usage: Usage) -> dict[str, Any]:
    """Usage as Chat Completions tells it."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
