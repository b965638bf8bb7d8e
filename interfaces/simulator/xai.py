"""xAI's Chat and Models services over gRPC, by the servicers of its own SDK."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from xai_sdk.proto import chat_pb2, chat_pb2_grpc, deferred_pb2, models_pb2, models_pb2_grpc, sample_pb2, usage_pb2

from bessemer.interfaces.simulator._answers import Answer, Usage
from bessemer.interfaces.simulator._asked import Asked, Caller, Segment, Tool, caller_of, digest_of, picture
from bessemer.interfaces.simulator._desk import Desk, Failed, Served
from bessemer.interfaces.simulator._http import FOREVER, key_problem, pieces
from bessemer.interfaces.simulator._models import models_of

CODES = {
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "overloaded": grpc.StatusCode.UNAVAILABLE,
    "server_error": grpc.StatusCode.INTERNAL,
    "auth": grpc.StatusCode.UNAUTHENTICATED,
    "permission": grpc.StatusCode.PERMISSION_DENIED,
    "not_found": grpc.StatusCode.NOT_FOUND,
}
FINISH = {
    "stop": sample_pb2.REASON_STOP,
    "tool_calls": sample_pb2.REASON_TOOL_CALLS,
    "length": sample_pb2.REASON_MAX_LEN,
    "refusal": sample_pb2.REASON_STOP,
    "content_filter": sample_pb2.REASON_STOP,
}
EFFORTS = {
    chat_pb2.EFFORT_LOW: "low",
    chat_pb2.EFFORT_MEDIUM: "medium",
    chat_pb2.EFFORT_HIGH: "high",
    chat_pb2.EFFORT_XHIGH: "xhigh",
}
Context = Any
"""A `grpc.aio.ServicerContext`; grpc ships no types."""


class Chat(chat_pb2_grpc.ChatServicer):  # type: ignore[misc]
    """One-shot, streamed and deferred completions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._deferred: dict[str, tuple[float, chat_pb2.GetChatCompletionResponse]] = {}

    async def GetCompletion(self, request: Any, context: Context) -> Any:  # noqa: N802
        await check_key(context)
        asked = read(request, _caller(context))
        with self._desk.receive(asked) as served:
            await _begin(context, served, served.wait)
            return response_of(asked, _answer(served), served.request_id)

    async def GetCompletionChunk(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        await check_key(context)
        asked = read(request, _caller(context), stream=True)
        with self._desk.receive(asked) as served:
            await _begin(context, served, served.wait / 2)
            chunks = list(_chunks(asked, _answer(served), served.request_id))
            for chunk in chunks:
                yield chunk
                if served.wait:
                    await asyncio.sleep(served.wait / 2 / len(chunks))

    async def StartDeferredCompletion(self, request: Any, context: Context) -> Any:  # noqa: N802
        await check_key(context)
        asked = read(request, _caller(context))
        with self._desk.receive(asked) as served:
            await _begin(context, served, 0.0)
            done = response_of(asked, _answer(served), served.request_id)
            self._deferred[served.request_id] = (time.monotonic() + served.wait, done)
            return deferred_pb2.StartDeferredResponse(request_id=served.request_id)

    async def GetDeferredCompletion(self, request: Any, context: Context) -> Any:  # noqa: N802
        await check_key(context)
        found = self._deferred.get(request.request_id)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no deferred request {request.request_id!r}")
            raise AssertionError
        ready, done = found
        if time.monotonic() < ready:
            return chat_pb2.GetDeferredCompletionResponse(status=deferred_pb2.PENDING)
        return chat_pb2.GetDeferredCompletionResponse(status=deferred_pb2.DONE, response=done)


class Models(models_pb2_grpc.ModelsServicer):  # type: ignore[misc]
    """The list of models."""

    async def ListLanguageModels(self, request: Any, context: Context) -> Any:  # noqa: N802
        await check_key(context)
        return models_pb2.ListLanguageModelsResponse(models=[_model(name) for name in models_of("xai")])

    async def GetLanguageModel(self, request: Any, context: Context) -> Any:  # noqa: N802
        await check_key(context)
        return _model(request.name)


def _model(name: str) -> Any:
    return models_pb2.LanguageModel(
        name=name,
        version="1",
        input_modalities=[models_pb2.TEXT, models_pb2.IMAGE],
        output_modalities=[models_pb2.TEXT],
        max_prompt_length=262_144,
    )


async def check_key(context: Context) -> None:
    """End the call as unauthenticated without a bearer, and for one that contains `invalid`."""
    given = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
    if problem := key_problem(given.removeprefix("Bearer ").strip()):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, f"The API key is {problem}.")


async def _begin(context: Context, served: Served, wait: float) -> None:
    """Wait, and end the call where the request fails. A server cannot cut its connection: the status stands for it."""
    await context.send_initial_metadata((("x-request-id", served.request_id),))
    if isinstance(served.reply, Failed):
        await abort(context, served.reply)
    if served.act == "timeout":
        await asyncio.sleep(FOREVER if served.silence is None else served.silence)
    if served.act == "html":
        await context.abort(grpc.StatusCode.UNKNOWN, "Received http2 header with status: 200, content-type: text/html")
    if wait:
        await asyncio.sleep(wait)
    if served.act in ("dropped", "timeout"):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


async def abort(context: Context, failed: Failed) -> None:
    """End a call with the status of an error, and `retry-after` in the trailing metadata."""
    if failed.retry_after is not None:
        context.set_trailing_metadata((("retry-after", f"{failed.retry_after:g}"),))
    await context.abort(CODES.get(failed.kind, grpc.StatusCode.INVALID_ARGUMENT), failed.message)


def _answer(served: Served) -> Answer:
    assert isinstance(served.reply, Answer)
    return served.reply


def _caller(context: Context) -> Caller:
    return caller_of({key: str(value) for key, value in context.invocation_metadata() or ()})


def read(request: Any, caller: Caller, *, stream: bool = False, batch: str = "") -> Asked:
    """A completion request."""
    form = request.response_format
    schema: dict[str, Any] | None = None
    if form.format_type == chat_pb2.FORMAT_TYPE_JSON_SCHEMA:
        schema = json.loads(form.schema or "{}")
    elif form.format_type == chat_pb2.FORMAT_TYPE_JSON_OBJECT:
        schema = {}
    functions = [tool.function for tool in request.tools if tool.HasField("function")]
    choice = request.tool_choice
    forced = choice.function_name or ("" if choice.mode == chat_pb2.TOOL_MODE_REQUIRED else None)
    return Asked(
        vendor="xai",
        endpoint="GetCompletion",
        model=request.model,
        segments=tuple(_segments(request, functions)),
        digest=digest_of(b"xai", request.SerializeToString(deterministic=True)),
        schema=schema,
        tools=tuple(Tool(one.name, json.loads(one.parameters or "{}")) for one in functions),
        must_call=forced,
        max_output=request.max_tokens if request.HasField("max_tokens") else None,
        effort=EFFORTS.get(request.reasoning_effort, ""),
        seed=request.seed if request.HasField("seed") else None,
        stream=stream,
        caller=caller if caller.attempt else caller._replace(attempt=request.user),
        batch=batch,
    )


def _segments(request: Any, functions: list[Any]) -> Iterator[Segment]:
    if functions:
        declared = [
            {"name": one.name, "description": one.description, "parameters": one.parameters} for one in functions
        ]
        yield Segment("tools", json.dumps(declared, sort_keys=True))
    for message in request.messages:
        text = "\n".join(_content_text(content) for content in message.content)
        text += "".join(f"{call.function.name} {call.function.arguments}" for call in message.tool_calls)
        if message.role in (chat_pb2.ROLE_SYSTEM, chat_pb2.ROLE_DEVELOPER):
            yield Segment("system", text)
        else:
            yield Segment("assistant" if message.role == chat_pb2.ROLE_ASSISTANT else "user", text)


def _content_text(content: Any) -> str:
    if content.WhichOneof("content") == "text":
        return str(content.text)
    return picture(content.SerializeToString(deterministic=True))


def response_of(asked: Asked, answer: Answer, request_id: str) -> Any:
    """An answer as a completion."""
    message = chat_pb2.CompletionMessage(
        role=chat_pb2.ROLE_ASSISTANT,
        content=answer.text,
        reasoning_content=answer.thinking,
        tool_calls=_calls(answer),
    )
    response = chat_pb2.GetChatCompletionResponse(
        id=request_id,
        model=asked.model,
        system_fingerprint="fp_simulated",
        outputs=[chat_pb2.CompletionOutput(index=0, message=message, finish_reason=FINISH[answer.finish])],
        usage=usage_of(answer.usage),
        service_tier=usage_pb2.SERVICE_TIER_DEFAULT,
    )
    response.created.GetCurrentTime()
    return response


def _chunks(asked: Asked, answer: Answer, request_id: str) -> Iterator[Any]:
    if answer.thinking:
        yield _chunk(asked, request_id, chat_pb2.Delta(role=chat_pb2.ROLE_ASSISTANT, reasoning_content=answer.thinking))
    for piece in pieces(answer.text):
        yield _chunk(asked, request_id, chat_pb2.Delta(role=chat_pb2.ROLE_ASSISTANT, content=piece))
    last = _chunk(asked, request_id, chat_pb2.Delta(role=chat_pb2.ROLE_ASSISTANT, tool_calls=_calls(answer)))
    last.outputs[0].finish_reason = FINISH[answer.finish]
    last.usage.CopyFrom(usage_of(answer.usage))
    yield last


def _chunk(asked: Asked, request_id: str, delta: Any) -> Any:
    output = chat_pb2.CompletionOutputChunk(index=0, delta=delta)
    chunk = chat_pb2.GetChatCompletionChunk(
        id=request_id, model=asked.model, outputs=[output], service_tier=usage_pb2.SERVICE_TIER_DEFAULT
    )
    chunk.created.GetCurrentTime()
    return chunk


def _calls(answer: Answer) -> list[Any]:
    return [
        chat_pb2.ToolCall(
            id=call.id,
            type=chat_pb2.TOOL_CALL_TYPE_CLIENT_SIDE_TOOL,
            function=chat_pb2.FunctionCall(name=call.name, arguments=call.json),
        )
        for call in answer.calls
    ]


def usage_of(usage: Usage) -> Any:
    """Usage as this vendor tells it: what was reasoned is not among the completion's tokens."""
    return usage_pb2.SamplingUsage(
        prompt_tokens=usage.input,
        prompt_text_tokens=usage.input,
        cached_prompt_text_tokens=usage.cache_read,
        completion_tokens=usage.output - usage.reasoning,
        reasoning_tokens=usage.reasoning,
        total_tokens=usage.input + usage.output,
    )
