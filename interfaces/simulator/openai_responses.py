"""OpenAI's Responses API: JSON and server-sent events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from bessemer.interfaces.simulator._answers import REFUSAL, Answer, Usage
from bessemer.interfaces.simulator._asked import Asked, Segment, Tool, caller_of
from bessemer.interfaces.simulator._http import BadRequest, pieces, sse, wanted
from bessemer.interfaces.simulator._openai_words import OpenAIWords, content_text, tools_text


class Responses(OpenAIWords):
    """The words of the Responses API."""

    def body(self, asked: Asked, answer: Answer, request_id: str) -> dict[str, Any]:
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
        now = time.time()
        return {
            "id": f"resp_{request_id}",
            "object": "response",
            "created_at": int(now),
            "completed_at": int(now) if reason is None else None,
            "status": "completed" if reason is None else "incomplete",
            "incomplete_details": {"reason": reason} if reason else None,
            "error": None,
            "background": False,
            "instructions": None,
            "metadata": {},
            "model": asked.model,
            "output": list(_items(answer, request_id)),
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": asked.effort or None, "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "max_output_tokens": asked.max_output,
            "usage": usage_of(answer.usage),
        }

    def events(self, asked: Asked, answer: Answer, request_id: str) -> Iterator[bytes]:
        for number, event in enumerate(self._events(asked, answer, request_id)):
            yield sse({**event, "sequence_number": number}, event["type"])

    def _events(self, asked: Asked, answer: Answer, request_id: str) -> Iterator[dict[str, Any]]:
        whole = self.body(asked, answer, request_id)
        empty = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        yield {"type": "response.created", "response": empty}
        yield {"type": "response.in_progress", "response": empty}
        for index, item in enumerate(whole["output"]):
            yield from _item_events(index, item)
        yield {"type": f"response.{whole['status']}", "response": whole}


def read(body: dict[str, Any], digest: bytes, headers: Mapping[str, str], batch: str = "", key: str = "") -> Asked:
    """A request of the Responses API. Raises BadRequest."""
    form = (body.get("text") or {}).get("format") or {}
    schema = {"json_schema": form.get("schema") or {}, "json_object": {}}.get(form.get("type", ""))
    metadata = body.get("metadata") or {}
    choice = body.get("tool_choice")
    named = choice.get("name", "") if isinstance(choice, dict) and choice.get("type") == "function" else None
    return Asked(
        vendor="openai",
        endpoint="responses",
        model=wanted(body, "model", str),
        segments=tuple(_segments(body)),
        digest=digest,
        schema=schema,
        tools=tuple(_tool(tool) for tool in body.get("tools") or () if tool.get("type") == "function"),
        must_call="" if choice == "required" else named,
        max_output=body.get("max_output_tokens"),
        effort=str((body.get("reasoning") or {}).get("effort") or ""),
        stream=bool(body.get("stream")) and not batch,
        caller=caller_of(headers, key or str(metadata.get("attempt") or "")),
        batch=batch,
    )


def _tool(tool: dict[str, Any]) -> Tool:
    return Tool(str(tool.get("name")), tool.get("parameters") or {})


def _segments(body: dict[str, Any]) -> Iterator[Segment]:
    if said := tools_text(body.get("tools") or ()):
        yield Segment("tools", said)
    if instructions := body.get("instructions"):
        yield Segment("system", str(instructions))
    given = body.get("input")
    if not given:
        raise BadRequest("Missing required parameter: 'input'.")
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        yield _segment(item)


def _segment(item: dict[str, Any]) -> Segment:
    kind = item.get("type", "message")
    if kind == "function_call":
        return Segment("assistant", f"{item.get('name')} {item.get('arguments')}")
    if kind == "function_call_output":
        return Segment("user", content_text(item.get("output")))
    if kind == "reasoning":
        return Segment("assistant", content_text(item.get("summary")))
    role = item.get("role")
    if role in ("system", "developer"):
        return Segment("system", content_text(item.get("content")))
    return Segment("assistant" if role == "assistant" else "user", content_text(item.get("content")))


def _items(answer: Answer, request_id: str) -> Iterator[dict[str, Any]]:
    status = "incomplete" if answer.finish in ("length", "content_filter") else "completed"
    if answer.thinking:
        yield {
            "id": f"rs_{request_id}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": answer.thinking}],
        }
    if answer.finish == "refusal":
        yield _message(request_id, {"type": "refusal", "refusal": answer.text or REFUSAL}, status)
    elif answer.text or not answer.calls:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        yield _message(request_id, part, status)
    for number, call in enumerate(answer.calls):
        yield {
            "id": f"fc_{request_id}_{number}",
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.json,
            "status": "completed",
        }


def _message(request_id: str, part: dict[str, Any], status: str) -> dict[str, Any]:
    return {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "status": status, "content": [part]}


def _item_events(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    where = {"item_id": item["id"], "output_index": index}
    if item["type"] == "message":
        yield {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**item, "content": [], "status": "in_progress"},
        }
        yield from _part_events({**where, "content_index": 0}, item["content"][0])
    elif item["type"] == "function_call":
        yield {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**item, "arguments": "", "status": "in_progress"},
        }
        for piece in pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **where, **done}
    else:
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "summary": []}}
        yield from _summary_events({**where, "summary_index": 0}, item["summary"][0])
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(where: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    field, kind = ("refusal", "refusal") if part["type"] == "refusal" else ("text", "output_text")
    extra: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
    yield {"type": "response.content_part.added", **where, "part": {**part, field: ""}}
    for piece in pieces(part[field]):
        yield {"type": f"response.{kind}.delta", **where, "delta": piece, **extra}
    yield {"type": f"response.{kind}.done", **where, field: part[field], **extra}
    yield {"type": "response.content_part.done", **where, "part": part}


def _summary_events(where: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}
    yield {"type": "response.reasoning_summary_text.delta", **where, "delta": part["text"]}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}


def usage_of(usage: Usage) -> dict[str, Any]:
    """Usage as the Responses API tells it; nothing is charged for writing to the cache."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write_5m},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
