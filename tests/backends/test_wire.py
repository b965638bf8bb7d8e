"""The real openai SDK, through the adapter, against a loopback server with every fault."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bessemer.actors.backends import open_backend
from bessemer.actors.backends.base import Backend, BackendFailure, CallFailure, ModelRequest, ToolSpec, Usage
from bessemer.cluster.backend_settings import BackendSettings, CompatibleSettings, ProviderSettings

from . import _server as fake
from ._server import Loopback

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}},
    "required": ["score"],
    "additionalProperties": False,
}


def ask(**changes: Any) -> ModelRequest:
    given: dict[str, Any] = {"backend": "openai-compatible/small", "prompt": "hi", "timeout": 20.0, **changes}
    return ModelRequest(**given)


@pytest.fixture
async def backend(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    monkeypatch.setenv("BESSEMER_COMPATIBLE_KEY", "sk-test-key")
    settings = BackendSettings(compatible=CompatibleSettings(base_url=f"{loopback.url}/v1"))
    opened = open_backend("openai-compatible/small", settings)
    yield opened
    await opened.close()


async def fails(backend: Backend, request: ModelRequest) -> CallFailure:
    with pytest.raises(BackendFailure) as caught:
        await backend.request(request)
    return caught.value.failure


async def test_plain_text_brings_usage_and_finish(backend: Backend, loopback: Loopback) -> None:
    reply = await backend.request(ask(instructions="be kind", temperature=0.5, seed=7, max_output_tokens=99))
    assert (reply.text, reply.finish, reply.model, reply.request_id) == ("hello", "stop", "small-1", "chatcmpl-1")
    assert reply.usage == Usage(input=100, cache_read=40, output=20, reasoning=5)
    sent = loopback.requests[0]
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert (sent["max_tokens"], sent["temperature"], sent["seed"]) == (99, 0.5, 7)
    assert loopback.headers[0]["Authorization"] == "Bearer sk-test-key"


async def test_structured_output_uses_the_schema_mode_and_is_validated(backend: Backend, loopback: Loopback) -> None:
    loopback.default = fake.answers(fake.completion('{"score": 7}'))
    reply = await backend.request(ask(output_schema=SCHEMA, output_name="grade"))
    assert reply.data == {"score": 7}
    form = loopback.requests[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "grade"


async def test_a_model_without_a_schema_mode_is_told_the_schema_in_words_and_checked_the_same(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESSEMER_COMPATIBLE_KEY", "sk-test-key")
    given = CompatibleSettings(base_url=f"{loopback.url}/v1", structured="none")
    backend = open_backend("openai-compatible/small", BackendSettings(compatible=given))
    loopback.default = fake.answers(fake.completion('Here it is: ```json\n{"score": 7}\n```'))
    assert (await backend.request(ask(output_schema=SCHEMA, output_name="grade"))).data == {"score": 7}
    sent = loopback.requests[0]
    assert "response_format" not in sent
    assert '"score"' in json.dumps([message["content"] for message in sent["messages"]]).replace('\\"', '"')
    loopback.default = fake.answers(fake.completion('{"score": 70}'))
    assert (await fails(backend, ask(output_schema=SCHEMA))).kind == "malformed_output"
    await backend.close()


@pytest.mark.parametrize("text", ['{"score": 70}', '{"score": ', "I would say seven.", "", '{"score": NaN}'])
async def test_an_answer_that_does_not_fit_keeps_its_usage_and_text(
    backend: Backend, loopback: Loopback, text: str
) -> None:
    loopback.default = fake.answers(fake.completion(text))
    failure = await fails(backend, ask(output_schema=SCHEMA))
    assert (failure.kind, failure.retryable, failure.maybe_billed) == ("malformed_output", False, False)
    assert failure.usage is not None
    assert failure.usage.output == 20
    assert text in failure.message


async def test_fenced_json_is_read(backend: Backend, loopback: Loopback) -> None:
    loopback.default = fake.answers(fake.completion('```json\n{"score": 7}\n```'))
    assert (await backend.request(ask(output_schema=SCHEMA))).data == {"score": 7}


@pytest.mark.parametrize("schema", [None, SCHEMA])
async def test_a_cut_off_answer_is_truncated_and_billed(
    backend: Backend, loopback: Loopback, schema: dict[str, Any] | None
) -> None:
    loopback.default = fake.answers(fake.completion('{"sco', finish="length"))
    failure = await fails(backend, ask(output_schema=schema))
    assert failure.kind == "truncated"
    assert failure.usage == Usage(input=100, cache_read=40, output=20, reasoning=5)


async def test_a_refusal_is_a_value_of_its_own(backend: Backend, loopback: Loopback) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I will not"}
    loopback.default = fake.answers(fake.completion(message=message))
    failure = await fails(backend, ask(output_schema=SCHEMA))
    assert failure.kind == "refusal"
    assert "I will not" in failure.message
    assert failure.usage is not None


async def test_a_content_filter_is_a_value_of_its_own(backend: Backend, loopback: Loopback) -> None:
    loopback.default = fake.answers(fake.completion("", finish="content_filter"))
    assert (await fails(backend, ask())).kind == "content_filter"


async def test_tools_are_offered_called_and_answered(backend: Backend, loopback: Loopback) -> None:
    call = {"id": "call_x", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}}
    first = fake.completion(finish="tool_calls", message={"role": "assistant", "content": None, "tool_calls": [call]})
    loopback.script = [fake.answers(first)]
    tool = ToolSpec(
        name="read",
        description="Read a file",
        parameters={"type": "object", "properties": {"path": {"type": "string"}}},
    )
    reply = await backend.request(ask(tools=(tool,)))
    assert reply.finish == "tool_calls"
    assert reply.message["parts"][0]["tool_name"] == "read"
    asked = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "hi"}]}
    result = {"part_kind": "tool-return", "tool_name": "read", "content": "text", "tool_call_id": "call_x"}
    history = (asked, reply.message, {"kind": "request", "parts": [result]})
    assert (await backend.request(ask(prompt="", history=history, tools=(tool,), instructions="do"))).text == "hello"
    roles = [message["role"] for message in loopback.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]


FAULTS = [
    (fake.status(429, headers={"retry-after": "7"}), "rate_limited", True, False),
    (fake.status(429, code="insufficient_quota"), "rate_limited", False, False),
    (
        fake.status(400, "maximum context length is 4096", code="context_length_exceeded"),
        "context_length",
        False,
        False,
    ),
    (fake.status(400, "bad"), "bad_request", False, False),
    (fake.status(401, "wrong key"), "auth", False, False),
    (fake.status(403, "not yours"), "permission", False, False),
    (fake.status(404, "no such model"), "bad_request", False, False),
    (fake.status(408, "slow"), "timeout", True, False),
    (fake.status(413, "too long"), "context_length", False, False),
    (fake.status(422, "no"), "bad_request", False, False),
    (fake.status(500), "infrastructure", True, True),
    (fake.status(502), "infrastructure", True, True),
    (fake.status(503), "overloaded", True, False),
    (fake.status(504), "infrastructure", True, True),
    (fake.status(529), "overloaded", True, False),
    (fake.drops, "connection", True, True),
    (fake.raw(b'{"id": "chatcmpl-1", "choices": [{"ind'), "infrastructure", True, True),
    (fake.raw(b"<!doctype html><html>hello</html>", "text/html"), "infrastructure", False, True),
    (fake.raw(b"<html>Bad gateway</html>", "text/html", 502), "infrastructure", True, True),
    (fake.raw(b"{}"), "infrastructure", True, True),
]


@pytest.mark.parametrize(("fault", "kind", "retryable", "maybe_billed"), FAULTS)
async def test_faults_become_failures_of_the_right_kind(
    backend: Backend, loopback: Loopback, fault: fake.Handler, kind: str, retryable: bool, maybe_billed: bool
) -> None:
    loopback.default = fault
    failure = await fails(backend, ask())
    assert (failure.kind, failure.retryable, failure.maybe_billed) == (kind, retryable, maybe_billed), failure
    assert failure.usage is None
    assert "\n" not in failure.message
    assert "sk-test-key" not in failure.message
    assert len(loopback.requests) == 1, "the SDK must not retry by itself"


async def test_retry_after_is_read(backend: Backend, loopback: Loopback) -> None:
    loopback.default = fake.status(429, headers={"retry-after": "7", "x-request-id": "req-9"})
    failure = await fails(backend, ask())
    assert (failure.retry_after, failure.request_id) == (7.0, "req-9")


async def test_a_request_that_hangs_ends_in_doubt(backend: Backend, loopback: Loopback) -> None:
    loopback.default = fake.hangs
    failure = await fails(backend, ask(timeout=0.2))
    assert (failure.kind, failure.retryable, failure.maybe_billed) == ("timeout", True, True)


async def test_a_refused_connection_was_not_billed(loopback: Loopback) -> None:
    url = loopback.url
    await loopback.stop()
    settings = BackendSettings(compatible=CompatibleSettings(base_url=f"{url}/v1"))
    closed = open_backend("openai-compatible/small", settings)
    failure = await fails(closed, ask())
    assert (failure.kind, failure.retryable, failure.maybe_billed) == ("connection", True, False)
    await closed.close()


async def test_openai_goes_through_responses(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    settings = BackendSettings(openai=ProviderSettings(base_url=f"{loopback.url}/v1"))
    opened = open_backend("openai/gpt-5.4", settings)
    loopback.script = [fake.answers(fake.response('{"score": 3}'))]
    reply = await opened.request(ask(backend="openai/gpt-5.4", output_schema=SCHEMA, effort="low"))
    assert reply.data == {"score": 3}
    assert reply.usage == Usage(input=100, cache_read=40, cache_write=10, output=20, reasoning=5)
    assert loopback.requests[0]["store"] is False
    assert loopback.requests[0]["reasoning"]["effort"] == "low"
    loopback.script = [fake.answers(fake.response('{"sc', "incomplete", "max_output_tokens"))]
    failure = await fails(opened, ask(backend="openai/gpt-5.4", output_schema=SCHEMA))
    assert failure.kind == "truncated"
    assert failure.usage is not None
    await opened.close()
