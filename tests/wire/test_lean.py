"""What the lean clients leave to the SDKs: answers that the SDK's own message type does not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from bessemer.actors.backends import _lean, open_backend
from bessemer.actors.backends.base import BackendFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import BackendSettings

from ._vendors import Answer, Fault, Loopback, Tokens, _anthropic, _openai


class Vendor(NamedTuple):
    provider: str
    model: str
    path: str
    message: Callable[[Answer], dict[str, Any]]


VENDORS = (
    Vendor("anthropic", "anthropic/claude-opus-4-6", "", _anthropic),
    Vendor("openai", "openai/gpt-5.4", "/v1", _openai),
)
each_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=lambda one: one.provider)


@pytest.mark.parametrize("name", ["extra_headers", "extra_query", "extra_body", "timeout"])
def test_an_option_without_a_value_does_not_become_part_of_the_body(name: str) -> None:
    given = {"model": "m", name: None}
    assert _lean.is_plain(given)
    assert _lean.split(given, ()) == ({"model": "m"}, {})


async def asked(patch: pytest.MonkeyPatch, vendor: Vendor, body: Any, content_type: str = "application/json") -> Reply:
    server = Loopback()
    await server.start(vendor.provider)
    patch.setenv(f"{vendor.provider.upper()}_API_KEY", "k")
    patch.setenv(f"{vendor.provider.upper()}_BASE_URL", server.address + vendor.path)
    server.then = Fault(200, body, content_type=content_type)
    backend = open_backend(vendor.model, BackendSettings())
    try:
        return await backend.request(ModelRequest(backend=vendor.model, prompt="hi", max_output_tokens=16, timeout=20))
    finally:
        await backend.close()
        await server.stop()


@each_vendor
async def test_values_that_are_newer_than_the_sdk_are_read(monkeypatch: pytest.MonkeyPatch, vendor: Vendor) -> None:
    body = vendor.message(Answer(tokens=Tokens(input=30, output=4)))
    body = {**body, "news": {"a": 1}, "usage": {**body["usage"], "carbon": 3}}
    # Each vendor says its tier in another place; a tier that no SDK knows must not spoil the answer.
    body = {**body, "usage": {**body["usage"], "service_tier": "express"}, "service_tier": "express"}
    reply = await asked(monkeypatch, vendor, body)
    assert (reply.text, reply.usage.input, reply.usage.output) == ("hello", 30, 4)
    assert reply.usage.tier == "express"


@each_vendor
async def test_json_under_another_name_is_read(monkeypatch: pytest.MonkeyPatch, vendor: Vendor) -> None:
    text = json.dumps(vendor.message(Answer()))
    assert (await asked(monkeypatch, vendor, text, "text/plain")).text == "hello"


@each_vendor
@pytest.mark.parametrize("body", ["<html>sign in</html>", "[1, 2]", '"hello"', ""])
async def test_what_is_no_message_is_no_api(monkeypatch: pytest.MonkeyPatch, vendor: Vendor, body: str) -> None:
    with pytest.raises(BackendFailure) as caught:
        await asked(monkeypatch, vendor, body)
    assert caught.value.failure.kind == "infrastructure"
