"""What the lean client of Anthropic leaves to the SDK: answers that its own message type does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bessemer.actors.backends import open_backend
from bessemer.actors.backends.base import BackendFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import BackendSettings

from ._vendors import Answer, Fault, Loopback, Tokens, _anthropic

NAME = "anthropic/claude-opus-4-6"


async def asked(monkeypatch: pytest.MonkeyPatch, body: Any, content_type: str = "application/json") -> Reply:
    server = Loopback()
    await server.start("anthropic")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.address)
    server.then = Fault(200, body, content_type=content_type)
    backend = open_backend(NAME, BackendSettings())
    try:
        return await backend.request(ModelRequest(backend=NAME, prompt="hi", max_output_tokens=9, timeout=20))
    finally:
        await backend.close()
        await server.stop()


async def test_values_that_are_newer_than_the_sdk_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    body = _anthropic(Answer(tokens=Tokens(input=30, output=4)))
    body = {**body, "news": {"a": 1}, "usage": {**body["usage"], "service_tier": "express", "carbon": 3}}
    reply = await asked(monkeypatch, body)
    assert (reply.text, reply.usage.input, reply.usage.output) == ("hello", 30, 4)
    assert reply.usage.tier == "express"


async def test_json_under_another_name_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await asked(monkeypatch, json.dumps(_anthropic(Answer())), "text/plain")).text == "hello"


@pytest.mark.parametrize("body", ["<html>sign in</html>", "[1, 2]", '"hello"', ""])
async def test_what_is_no_message_is_no_api(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    with pytest.raises(BackendFailure) as caught:
        await asked(monkeypatch, body)
    assert caught.value.failure.kind == "infrastructure"
