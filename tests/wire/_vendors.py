"""Loopback vendors that answer exactly what a test tells them, and keep what they were sent.

HTTP for Anthropic, OpenAI and Google by path; gRPC for xAI from the servicer that its SDK ships.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import grpc.aio
from aiohttp import web
from xai_sdk.proto import chat_pb2, chat_pb2_grpc, usage_pb2


class Tokens(NamedTuple):
    """What the answer is to cost, in the words of Usage."""

    input: int = 1000
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 100
    reasoning: int = 0


DEFAULT = Tokens()


@dataclass
class Fault:
    """Anything but an answer. `status` is HTTP's, or the name of a gRPC status."""

    status: int | str = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass
class Answer:
    """What the next request gets."""

    text: str = "hello"
    finish: str = "stop"
    """`stop`, `length`, `refusal` or `blocked`; each vendor says it in its own words."""
    tokens: Tokens = DEFAULT
    tier: str = ""
    ticks: int | None = None
    """xAI's bill in units of 1e-10 dollars."""


@dataclass
class Drop:
    """The connection is cut after the request was read."""


@dataclass
class Hang:
    """No answer ever comes."""


Next = Answer | Fault | Drop | Hang


class Loopback:
    """One vendor's server. `script` answers the first requests, `then` every other one."""

    def __init__(self) -> None:
        self.script: list[Next] = []
        self.then: Next = Answer()
        self.requests: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.address = ""
        self._provider = ""
        self._cutting: asyncio.Task[None] | None = None
        self._stop: Callable[[], Awaitable[Any]] | None = None

    async def start(self, provider: str) -> None:
        if provider == "xai":
            await self._start_grpc()
            return
        app = web.Application(client_max_size=2**26)
        self._provider = provider
        app.router.add_post("/{path:.*}", self._http)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._stop = runner.cleanup

    async def _start_grpc(self) -> None:
        server = grpc.aio.server()
        chat_pb2_grpc.add_ChatServicer_to_server(_Chat(self), server)  # type: ignore[no-untyped-call]
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._stop = functools.partial(server.stop, None)

    def cut(self) -> None:
        """Stop serving while requests are in hand."""
        self._cutting = asyncio.create_task(self.stop())

    async def stop(self) -> None:
        if self._stop is not None:
            stop, self._stop = self._stop, None
            await stop()

    async def _http(self, request: web.Request) -> web.StreamResponse:
        self.requests.append({"path": request.path, **json.loads(await request.read())})
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        then = self.script.pop(0) if self.script else self.then
        if isinstance(then, Drop) and request.transport is not None:
            request.transport.abort()
            return web.Response()
        if isinstance(then, Hang):
            await asyncio.sleep(3600)
        if isinstance(then, Fault):
            body = then.body if isinstance(then.body, str) else json.dumps(then.body)
            headers = {**then.headers, "content-type": then.content_type}
            return web.Response(status=int(then.status), text=body, headers=headers)
        assert isinstance(then, Answer)
        headers = {"request-id": "req_1", "anthropic-ratelimit-requests-remaining": "7"}
        return web.json_response(
            _BODIES[self._provider](then), headers=headers if self._provider == "anthropic" else None
        )


def _anthropic(answer: Answer) -> dict[str, Any]:
    tokens = answer.tokens
    reason = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal", "blocked": "refusal"}[answer.finish]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-6",
        "content": [{"type": "text", "text": answer.text}] if answer.finish != "refusal" else [],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens.input - tokens.cache_read - tokens.cache_write,
            "cache_read_input_tokens": tokens.cache_read,
            "cache_creation_input_tokens": tokens.cache_write,
            "cache_creation": {
                "ephemeral_5m_input_tokens": tokens.cache_write - tokens.cache_write_1h,
                "ephemeral_1h_input_tokens": tokens.cache_write_1h,
            },
            "output_tokens": tokens.output,
            "output_tokens_details": {"thinking_tokens": tokens.reasoning},
            "service_tier": answer.tier or "standard",
        },
    }


def _openai(answer: Answer) -> dict[str, Any]:
    tokens = answer.tokens
    content: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": []}
    if answer.finish == "refusal":
        content = {"type": "refusal", "refusal": "I will not"}
    reason = {"length": "max_output_tokens", "blocked": "content_filter"}.get(answer.finish)
    status = "incomplete" if reason else "completed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "gpt-5.4",
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": [content]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "service_tier": answer.tier or "default",
        "usage": {
            "input_tokens": tokens.input,
            "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        },
    }


def _google(answer: Answer) -> dict[str, Any]:
    tokens = answer.tokens
    usage = {
        "promptTokenCount": tokens.input,
        "cachedContentTokenCount": tokens.cache_read,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "thoughtsTokenCount": tokens.reasoning,
        "totalTokenCount": tokens.input + tokens.output,
    }
    shared = {"responseId": "resp-1", "modelVersion": "gemini-3.1-pro-preview", "usageMetadata": usage}
    if answer.finish == "blocked":
        return {**shared, "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    reason = {"stop": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}[answer.finish]
    content = {"role": "model", "parts": [{"text": answer.text}]}
    return {**shared, "candidates": [{"content": content, "finishReason": reason, "index": 0}]}


_BODIES = {"anthropic": _anthropic, "openai": _openai, "google": _google}


class _Chat(chat_pb2_grpc.ChatServicer):
    def __init__(self, vendor: Loopback) -> None:
        self._vendor = vendor

    async def GetCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802  (the name on the wire)
        self._vendor.requests.append(request)
        self._vendor.headers.append({str(name): str(value) for name, value in context.invocation_metadata()})
        then = self._vendor.script.pop(0) if self._vendor.script else self._vendor.then
        if isinstance(then, Drop):
            self._vendor.cut()
        if isinstance(then, Hang | Drop):
            await asyncio.sleep(3600)
        if isinstance(then, Fault):
            await context.abort(grpc.StatusCode[str(then.status)], str(then.body), tuple(then.headers.items()))
        assert isinstance(then, Answer)
        return _xai(then)


def _xai(answer: Answer) -> Any:
    tokens = answer.tokens
    usage = usage_pb2.SamplingUsage(
        prompt_tokens=tokens.input,
        cached_prompt_text_tokens=tokens.cache_read,
        completion_tokens=tokens.output - tokens.reasoning,
        reasoning_tokens=tokens.reasoning,
        total_tokens=tokens.input + tokens.output,
    )
    if answer.ticks is not None:
        usage.cost_in_usd_ticks = answer.ticks
    message = chat_pb2.CompletionMessage(role=chat_pb2.MessageRole.ROLE_ASSISTANT, content=answer.text)
    reason = {"stop": "REASON_STOP", "length": "REASON_MAX_LEN"}[answer.finish]
    output = chat_pb2.CompletionOutput(index=0, message=message, finish_reason=reason)
    return chat_pb2.GetChatCompletionResponse(
        id="xai-1", model="grok-4.20-0309-reasoning", outputs=[output], usage=usage
    )
