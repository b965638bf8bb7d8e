"""Streams as the SDKs put them together again."""

from __future__ import annotations

from typing import Any

import pytest

from bessemer.interfaces.simulator import Simulator
from tests.simulator import _sdks
from tests.simulator._sdks import SCHEMA, VENDORS, Got, SDKs, Verdict
from tests.simulator.test_faults import LOST


async def stream(sdks: SDKs, vendor: str, prompt: str, **more: Any) -> Got:
    """One streamed answer, with its pieces put together by the SDK."""
    if vendor == "anthropic":
        async with sdks.anthropic.messages.stream(**_sdks.anthropic_request(prompt, **more)) as events:
            return _sdks.read_anthropic(await events.get_final_message())
    if vendor == "openai":
        async with sdks.openai.responses.stream(**_sdks.responses_request(prompt, **more)) as events:
            return _sdks.read_responses(await events.get_final_response())
    if vendor == "chat":
        request = _sdks.chat_request(prompt, **more) | {"stream_options": {"include_usage": True}}
        async with sdks.openai.chat.completions.stream(**request) as events:
            return _sdks.read_chat(await events.get_final_completion())
    if vendor == "google":
        text, chunk = "", None
        async for chunk in await sdks.google.aio.models.generate_content_stream(**_sdks.google_request(prompt, **more)):
            text += chunk.text or ""
        return _sdks.read_google(chunk)._replace(text=text)
    responses = [one async for one, _ in sdks.xai.chat.create(**_sdks.xai_request(prompt, **more)).stream()]
    return _sdks.read_xai(responses[-1])


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_stream_says_what_the_whole_answer_says(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(latency="0.05")
    streamed = await stream(sdks, vendor, "Tell me.", effort="low", schema=SCHEMA)
    Verdict.model_validate_json(streamed.text)
    entry = simulator.books()[-1]
    assert (entry["mode"], entry["usage"]["output"]) == ("stream", streamed.usage.output)
    assert (entry["usage"]["input"], streamed.usage.reasoning) == (streamed.usage.input, 64)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_stream_breaks_off(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(faults=["1:dropped"])
    for number in range(4):
        with pytest.raises((*LOST, Exception)):
            await stream(sdks, vendor, f"Break {number}.")
