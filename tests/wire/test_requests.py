"""What each vendor is sent, through its real SDK."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bessemer.actors.backends.base import Attachment, Usage

from ._vendors import Answer, Tokens
from .conftest import SECRET, Vendor

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}},
    "required": ["score"],
    "additionalProperties": False,
}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Page>>endobj\ntrailer<<>>\n%%EOF\n"


async def test_plain_text_brings_usage_finish_and_request_id(vendor: Vendor) -> None:
    vendor.server.then = Answer("hello", tokens=Tokens(input=1000, cache_read=400, output=100, reasoning=30))
    reply = await vendor.backend.request(vendor.ask(instructions="be kind", max_output_tokens=500))
    assert (reply.text, reply.finish) == ("hello", "stop")
    counts = {"input": 1000, "cache_read": 400, "output": 100, "reasoning": 30}
    assert reply.usage.model_dump(include=set(counts)) == counts
    assert (
        reply.request_id
        == {"anthropic": "req_1", "openai": "resp_1", "google": "resp-1", "xai": "xai-1"}[vendor.provider]
    )
    assert len(vendor.server.requests) == 1
    assert SECRET in str(vendor.server.headers[0])


async def test_the_limit_on_output_and_the_system_prompt_are_sent(vendor: Vendor) -> None:
    await vendor.backend.request(vendor.ask(instructions="be kind", max_output_tokens=555))
    sent = vendor.server.requests[0]
    match vendor.provider:
        case "anthropic":
            assert (sent["max_tokens"], sent["service_tier"]) == (555, "standard_only")
            assert "be kind" in json.dumps(sent["system"])
        case "openai":
            assert (sent["max_output_tokens"], sent["store"], sent["service_tier"]) == (555, False, "default")
            assert sent["instructions"] == "be kind"
        case "google":
            assert sent["generationConfig"]["maxOutputTokens"] == 555
            assert "be kind" in json.dumps(sent["systemInstruction"])
        case _:
            assert sent.max_tokens == 555
            assert sent.messages[0].content[0].text == "be kind"


async def test_structured_output_uses_the_vendors_schema_mode(vendor: Vendor) -> None:
    vendor.server.then = Answer('{"score": 7}')
    reply = await vendor.backend.request(vendor.ask(output_schema=SCHEMA, output_name="grade"))
    assert reply.data == {"score": 7}
    sent = vendor.server.requests[0]
    match vendor.provider:
        case "anthropic":
            form = sent["output_config"]["format"]
            assert form["type"] == "json_schema"
            assert form["schema"]["required"] == ["score"]
        case "openai":
            form = sent["text"]["format"]
            assert (form["type"], form["name"], form["schema"]["required"]) == ("json_schema", "grade", ["score"])
        case "google":
            assert sent["generationConfig"]["responseMimeType"] == "application/json"
            assert sent["generationConfig"]["responseJsonSchema"]["required"] == ["score"]
        case _:
            assert json.loads(sent.response_format.schema)["required"] == ["score"]


@pytest.mark.parametrize("text", ['{"score": 70}', '{"sco', "seven", ""])
async def test_an_answer_that_breaks_its_schema_keeps_its_usage(vendor: Vendor, text: str) -> None:
    vendor.server.then = Answer(text)
    failure = await vendor.fails(vendor.ask(output_schema=SCHEMA))
    assert failure.kind == "malformed_output"
    assert failure.usage is not None
    assert (failure.usage.input, failure.usage.output) == (1000, 100)


@pytest.mark.parametrize("schema", [None, SCHEMA])
async def test_a_cut_off_answer_is_truncated_and_billed(vendor: Vendor, schema: dict[str, Any] | None) -> None:
    vendor.server.then = Answer('{"sco', finish="length")
    failure = await vendor.fails(vendor.ask(output_schema=schema))
    assert failure.kind == "truncated"
    assert failure.usage is not None
    assert failure.usage.output == 100


async def test_a_refused_or_blocked_answer_is_a_value_of_its_own(vendor: Vendor) -> None:
    if vendor.provider == "xai":
        pytest.skip("xAI has no word for a refusal")
    kinds = {"anthropic": ("refusal", "refusal"), "openai": ("refusal", "content_filter")}
    wanted = kinds.get(vendor.provider, ("content_filter", "content_filter"))
    for finish, kind in zip(("refusal", "blocked"), wanted, strict=True):
        vendor.server.then = Answer(finish=finish)
        failure = await vendor.fails()
        assert (failure.kind, failure.retryable) == (kind, False)
        assert failure.usage is not None
        assert failure.usage.input == 1000


async def test_effort_is_sent_and_what_a_model_does_not_take_is_left_out(vendor: Vendor) -> None:
    await vendor.backend.request(vendor.ask(effort="low", temperature=0.5, seed=7))
    sent = vendor.server.requests[0]
    match vendor.provider:
        case "anthropic":
            assert sent["thinking"]["type"] == "adaptive"
            assert sent["output_config"]["effort"] == "low"
            assert "temperature" not in sent
        case "openai":
            assert sent["reasoning"]["effort"] == "low"
            assert "seed" not in sent
        case "google":
            config = sent["generationConfig"]
            assert "LOW" in config["thinkingConfig"].values()
            assert (config["temperature"], config["seed"]) == (0.5, 7)
        case _:
            assert sent.seed == 7
            assert sent.temperature == pytest.approx(0.5)
            assert not sent.HasField("reasoning_effort")


def _texts(vendor: Vendor, sent: Any) -> list[str]:
    """The parts of the one user message."""
    match vendor.provider:
        case "anthropic":
            return [block.get("text", block["type"]) for block in sent["messages"][0]["content"]]
        case "openai":
            content = sent["input"][0]["content"]
            return [content] if isinstance(content, str) else [one.get("text", one["type"]) for one in content]
        case "google":
            return [part.get("text", "file") for part in sent["contents"][0]["parts"]]
        case _:
            return [one.text or "file" for one in sent.messages[-1].content]


async def test_what_a_panel_shares_comes_first_and_is_cached(vendor: Vendor) -> None:
    for persona in ("one", "two"):
        await vendor.backend.request(vendor.ask(shared_prefix="the deliverable", prompt=persona))
    first, second = vendor.server.requests
    parts = [_texts(vendor, sent) for sent in (first, second)]
    assert "".join(parts[0]).startswith("the deliverable")
    assert "".join(parts[0]).endswith("one")
    assert "".join(parts[1]).removesuffix("two") == "".join(parts[0]).removesuffix("one")
    if vendor.provider == "anthropic":
        blocks = first["messages"][0]["content"]
        assert blocks[0]["cache_control"]["type"] == "ephemeral"
        assert "cache_control" not in blocks[1]
    if vendor.provider == "openai":
        assert first["prompt_cache_key"] == second["prompt_cache_key"]


async def test_a_shared_prefix_opens_the_history_of_a_tool_loop(vendor: Vendor) -> None:
    said = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "the persona"}]}
    again = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "once more"}]}
    answered = {"kind": "response", "parts": [{"part_kind": "text", "content": "no"}]}
    request = vendor.ask(shared_prefix="the deliverable", prompt="", history=(said, answered, again))
    await vendor.backend.request(request)
    assert "the deliverable" not in str(request.history)
    sent = str(vendor.server.requests[0])
    places = [sent.index(text) for text in ("the deliverable", "the persona", "once more")]
    assert places == sorted(places)


@pytest.mark.parametrize("media", ["image/png", "application/pdf"])
async def test_images_and_documents_are_sent_before_the_question(vendor: Vendor, media: Any) -> None:
    if vendor.provider == "xai" and media == "application/pdf":
        pytest.skip("refused before it is sent: see test_admission")
    content = PIXEL if media == "image/png" else PDF
    await vendor.backend.request(vendor.ask(attachments=(Attachment.of(content, media),), prompt="what is it?"))
    sent = vendor.server.requests[0]
    encode = base64.urlsafe_b64encode if vendor.provider == "google" else base64.b64encode
    encoded = encode(content).decode()
    assert encoded in (json.dumps(sent) if isinstance(sent, dict) else str(sent))
    assert _texts(vendor, sent)[-1] == "what is it?"


async def test_the_tier_and_the_vendors_bill_are_kept(vendor: Vendor) -> None:
    vendor.server.then = Answer(tier="priority", ticks=12_345)
    reply = await vendor.backend.request(vendor.ask())
    if vendor.provider in ("anthropic", "openai"):
        assert reply.usage.tier == "priority"
    assert reply.usage.vendor_cost == (12_345 if vendor.provider == "xai" else None)


def test_usages_add_up() -> None:
    one = Usage(input=5, output=2, tier="batch", vendor_cost=7)
    assert one + Usage(input=1, tier="batch", vendor_cost=1) == Usage(input=6, output=2, tier="batch", vendor_cost=8)
    assert one + Usage(reasoning=1) == Usage(input=5, output=2, reasoning=1)
