"""A loopback vendor that speaks the four wire formats of the gateway, with usage that tests know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]

ANTHROPIC_USAGE = {
    "input_tokens": 1000,
    "cache_read_input_tokens": 200,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
    "output_tokens": 40,
}
OPENAI_USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 400},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 1050,
}
CHAT_USAGE = {
    "prompt_tokens": 1000,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens": 50,
    "completion_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 1050,
}
GOOGLE_USAGE = {
    "promptTokenCount": 1000,
    "cachedContentTokenCount": 400,
    "candidatesTokenCount": 40,
    "thoughtsTokenCount": 10,
    "totalTokenCount": 1050,
}


class Upstream:
    """What was asked for, and what is answered: `text`, or `script` in order first."""

    def __init__(self) -> None:
        self.text = "the answer"
        self.script: list[Handler] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path)
        if self.script:
            return await self.script.pop(0)(request, body)
        return await self.answer(request, body)

    async def answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        streamed = bool(body.get("stream")) or "streamGenerateContent" in request.path
        if request.path.endswith("/messages"):
            return await send(request, messages(self.text, str(body["model"])), streamed=streamed)
        if request.path.endswith("/responses"):
            return await send(request, responses(self.text, str(body["model"])), streamed=streamed)
        if request.path.endswith("/chat/completions"):
            return await send(request, chat(self.text, str(body["model"])), streamed=streamed)
        return await send(request, generate(self.text), streamed=streamed)


Answer = tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]
"""An answer as a whole and as the events of a stream."""


async def send(request: web.Request, answer: Answer, *, streamed: bool) -> web.StreamResponse:
    whole, events = answer
    if not streamed:
        return web.json_response(whole, headers={"request-id": "req_1"})
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "request-id": "req_1"})
    await response.prepare(request)
    for name, event in events:
        head = f"event: {name}\n" if name else ""
        await response.write(f"{head}data: {json.dumps(event)}\n\n".encode())
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def messages(text: str, model: str = "claude-opus-4-6", tool: dict[str, Any] | None = None) -> Answer:
    block: dict[str, Any] = {"type": "text", "text": text}
    delta: dict[str, Any] = {"type": "text_delta", "text": text}
    empty: dict[str, Any] = {"type": "text", "text": ""}
    if tool is not None:
        block = {"type": "tool_use", "id": "toolu_1", **tool}
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(tool["input"])}
    stop = "tool_use" if tool else "end_turn"
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "stop_sequence": None}
    whole = {**head, "content": [block], "stop_reason": stop, "usage": ANTHROPIC_USAGE}
    begun = {**head, "content": [], "stop_reason": None, "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}
    events = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": ANTHROPIC_USAGE["output_tokens"]},
        },
        {"type": "message_stop"},
    ]
    return whole, [(str(event["type"]), event) for event in events]


def responses(text: str, model: str = "gpt-5.4", call: dict[str, Any] | None = None) -> Answer:
    part = {"type": "output_text", "text": text, "annotations": []}
    item: dict[str, Any] = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    if call is not None:
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "status": "completed", **call}
    begun = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": model,
        "output": [],
    }
    whole = {**begun, "status": "completed", "output": [item], "usage": OPENAI_USAGE}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    if call is None:
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        events[2:2] = [
            {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", **place, "delta": text},
            {"type": "response.output_text.done", **place, "text": text},
            {"type": "response.content_part.done", **place, "part": part},
        ]
    return whole, [(str(event["type"]), {**event, "sequence_number": n}) for n, event in enumerate(events)]


def chat(text: str, model: str = "gpt-5.4") -> Answer:
    head = {"id": "chatcmpl-1", "created": 1, "model": model}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {**head, "object": "chat.completion", "choices": [choice], "usage": CHAT_USAGE}
    chunk = {**head, "object": "chat.completion.chunk"}
    events = [
        {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**chunk, "choices": [], "usage": CHAT_USAGE},
    ]
    return whole, [("", event) for event in events]


def generate(text: str) -> Answer:
    def piece(said: str, **more: Any) -> dict[str, Any]:
        return {"content": {"role": "model", "parts": [{"text": said}]}, "index": 0, **more}

    head = {"modelVersion": "gemini-3.1-pro-preview", "responseId": "resp_g"}
    whole = {**head, "candidates": [piece(text, finishReason="STOP")], "usageMetadata": GOOGLE_USAGE}
    early = {"promptTokenCount": 1000, "totalTokenCount": 1000}
    events = [{**head, "candidates": [piece(text[:3])], "usageMetadata": early}]
    events.append({**head, "candidates": [piece(text[3:], finishReason="STOP")], "usageMetadata": GOOGLE_USAGE})
    return whole, [("", event) for event in events]


def says(status: int, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(body or {"error": {"message": "no"}}, status=status, headers=headers)

    return handler


async def breaks_off(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Begin a stream and cut the connection in its middle."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    name, event = messages("half")[1][0]
    await response.write(f"event: {name}\ndata: {json.dumps(event)}\n\n".encode())
    assert request.transport is not None
    request.transport.abort()
    return response


@asynccontextmanager
async def running() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", upstream.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield upstream
    finally:
        await runner.cleanup()
