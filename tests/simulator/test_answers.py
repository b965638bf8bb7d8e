"""What the vendors' own SDKs read from the simulator: text, objects, images, thinking, usage."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bessemer.interfaces.simulator import Simulator
from tests.simulator._sdks import SCHEMA, VENDORS, SDKs, Verdict
from tests.simulator.conftest import last

ENDED = {"anthropic": "end_turn", "openai": "completed", "chat": "stop", "google": "STOP", "xai": "REASON_STOP"}
CUT = {
    "anthropic": "max_tokens",
    "openai": "max_output_tokens",
    "chat": "length",
    "google": "MAX_TOKENS",
    "xai": "REASON_MAX_LEN",
}


def tokens(text: str) -> int:
    return math.ceil(len(text.encode()) / 4)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_plain_answer_and_its_usage(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    got = await sdks.ask(vendor, "Say something nice.")
    assert got.text.startswith("Simulated by ")
    assert got.finish == ENDED[vendor]
    assert (got.usage.input, got.usage.output) == (tokens("Say something nice."), tokens(got.text))
    entry = last(simulator)
    assert entry["usage"]["output"] == got.usage.output
    assert (entry["status"], entry["outcome"], entry["billed"]) == (200, "answered", True)
    assert entry["request_id"] in got.request_id


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_answer_fits_the_schema_of_the_request(vendor: str, sdks: SDKs) -> None:
    texts = {(await sdks.ask(vendor, f"Judge number {number}.", schema=SCHEMA)).text for number in range(5)}
    assert len(texts) == 5
    for text in texts:
        Verdict.model_validate_json(text)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_same_request_gets_the_same_answer(vendor: str, sdks: SDKs) -> None:
    assert (await sdks.ask(vendor, "Again.")).text == (await sdks.ask(vendor, "Again.")).text


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_image_counts_a_thousand_tokens(vendor: str, sdks: SDKs) -> None:
    plain = await sdks.ask(vendor, "What is it?")
    seen = await sdks.ask(vendor, "What is it?", image=True)
    assert seen.usage.input - plain.usage.input in (1000, 1001)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_thinking_is_counted_by_its_effort(vendor: str, sdks: SDKs) -> None:
    got = await sdks.ask(vendor, "Think.", effort="low")
    assert (got.usage.reasoning, got.usage.output) == (64, 64 + tokens(got.text))
    assert (await sdks.ask(vendor, "Think.")).usage.reasoning == 0


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_answer_is_cut_at_its_limit(vendor: str, sdks: SDKs) -> None:
    got = await sdks.ask(vendor, "Go on and on.", max_output=4)
    assert (got.finish, got.usage.output, len(got.text)) == (CUT[vendor], 4, 16)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_wrong_key_is_refused(vendor: str, simulator: Simulator) -> None:
    sdks = SDKs(simulator.url, simulator.xai_host, key="invalid")
    with pytest.raises(Exception, match=r"(?i)(key|callers)"):
        await sdks.ask(vendor)
    await sdks.close()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_shared_prefix_is_read_from_the_cache(vendor: str, sdks: SDKs) -> None:
    shared: Any = f"{vendor} reads this. " * 400
    system = (
        [{"type": "text", "text": shared, "cache_control": {"type": "ephemeral"}}] if vendor == "anthropic" else shared
    )
    first = await sdks.ask(vendor, "One.", system=system)
    second = await sdks.ask(vendor, "Two.", system=system)
    whole = tokens(shared)
    if vendor == "anthropic":
        assert (first.usage.cache_write, first.usage.cache_read) == (whole, 0)
        assert (second.usage.cache_write, second.usage.cache_read) == (0, whole)
    else:
        assert first.usage.cache_read == 0
        assert second.usage.cache_read == len(shared) // 4 // 128 * 128
    assert second.usage.input == tokens(shared + "Two.")


async def test_anthropic_tells_the_two_lives_of_a_cache_apart(sdks: SDKs) -> None:
    system = [
        {"type": "text", "text": "long " * 1000, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "short" * 1000, "cache_control": {"type": "ephemeral", "ttl": "5m"}},
    ]
    used = (await sdks.ask("anthropic", "Go.", system=system)).usage
    assert (used.cache_write_1h, used.cache_write, used.input) == (1250, 1250, 2501)


async def test_the_models_of_each_vendor_are_listed(sdks: SDKs) -> None:
    listed = [
        [model.id async for model in sdks.anthropic.models.list()],
        [model.id async for model in sdks.openai.models.list()],
        [model.name async for model in await sdks.google.aio.models.list()],
        [model.name for model in await sdks.xai.models.list_language_models()],
    ]
    assert [names[0].split("-")[0] for names in listed] == ["claude", "gpt", "models/gemini", "grok"]
