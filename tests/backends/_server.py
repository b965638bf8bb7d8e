"""A loopback server that speaks chat completions and Responses, with every fault a provider can have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def completion(text: str | None = "hello", **extra: Any) -> dict[str, Any]:
    """A chat completion; `message`, `finish` and `usage` replace their parts."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": extra.get("finish", "stop"),
                "message": extra.get("message", {"role": "assistant", "content": text}),
            }
        ],
        "usage": extra.get("usage", usage),
    }


def response(text: str = "hello", status: str = "completed", reason: str | None = None) -> dict[str, Any]:
    """An answer of the Responses API."""
    content = {"type": "output_text", "text": text, "annotations": []}
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
        "instructions": None,
        "metadata": {},
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 120,
        },
    }


def answers(body: dict[str, Any]) -> Handler:
    async def handler(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(body)

    return handler


def status(http: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Handler:
    async def handler(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": message, **error}}, status=http, headers=headers)

    return handler


def raw(body: bytes, content_type: str = "application/json", code: int = 200) -> Handler:
    async def handler(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=body, status=code, content_type=content_type)

    return handler


async def drops(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
    """Read the request, then cut the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


class Loopback:
    """The server. `script` holds what the next requests get, in order; afterwards `default` answers."""

    def __init__(self) -> None:
        self.script: list[Handler] = []
        self.default: Handler = answers(completion())
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        handler = self.script.pop(0) if self.script else self.default
        return await handler(request, body)
