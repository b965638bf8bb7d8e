"""Faults as the SDKs meet them: errors, silence, cut connections, answers that cannot be used."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import anthropic
import grpc
import openai
import pytest
from google.genai import errors as google_errors

from bessemer.interfaces.simulator import Simulator, running
from tests.simulator._sdks import SCHEMA, VENDORS, SDKs
from tests.simulator.conftest import last

ERRORS: dict[str, dict[str, Any]] = {
    "rate_limited": {"anthropic": 429, "openai": 429, "google": 429, "xai": "RESOURCE_EXHAUSTED"},
    "overloaded": {"anthropic": 529, "openai": 503, "google": 503, "xai": "UNAVAILABLE"},
    "server_error": {"anthropic": 500, "openai": 500, "google": 500, "xai": "INTERNAL"},
    "context_length": {"anthropic": 400, "openai": 400, "google": 400, "xai": "INVALID_ARGUMENT"},
    "bad_request": {"anthropic": 400, "openai": 400, "google": 400, "xai": "INVALID_ARGUMENT"},
    "auth": {"anthropic": 401, "openai": 401, "google": 401, "xai": "UNAUTHENTICATED"},
    "permission": {"anthropic": 403, "openai": 403, "google": 403, "xai": "PERMISSION_DENIED"},
}
REFUSED = {"anthropic": "refusal", "openai": "refusal", "chat": "refusal", "google": "SAFETY", "xai": "REASON_STOP"}
FILTERED = {
    "anthropic": "refusal",
    "openai": "content_filter",
    "chat": "content_filter",
    "google": "PROHIBITED_CONTENT",
    "xai": "REASON_STOP",
}
LOST = (anthropic.APIConnectionError, openai.APIConnectionError, aiohttp.ClientError, grpc.aio.AioRpcError)
LATE = (anthropic.APITimeoutError, openai.APITimeoutError, TimeoutError, grpc.aio.AioRpcError)


def status_of(error: Any) -> Any:
    """The status an SDK's exception carries."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code().name
    return getattr(error, "status_code", None) or error.code


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_error_has_the_vendors_status(vendor: str, kind: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(faults=[f"1:{kind}"])
    with pytest.raises((anthropic.APIStatusError, openai.APIStatusError, google_errors.APIError, grpc.RpcError)) as got:
        await sdks.ask(vendor, f"{kind} please")
    assert status_of(got.value) == ERRORS[kind]["openai" if vendor == "chat" else vendor]
    assert (last(simulator)["outcome"], last(simulator)["billed"]) == (kind, False)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_vendor_says_when_to_come_again(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(faults=["1:rate_limited:7"])
    with pytest.raises(Exception) as got:
        await sdks.ask(vendor)
    error: Any = got.value
    if vendor == "xai":
        assert dict(error.trailing_metadata())["retry-after"] == "7"
    elif vendor == "google":
        assert error.details["error"]["details"][0]["retryDelay"] == "7s"
        assert error.response.headers["retry-after"] == "7"
    else:
        assert error.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_connection_is_cut_before_or_within_the_answer(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(faults=["1:dropped"])
    for number in range(4):
        with pytest.raises(LOST):
            await sdks.ask(vendor, f"Lost {number}.")
    assert last(simulator)["billed"]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_vendor_that_never_answers_meets_the_clients_limit(vendor: str, simulator: Simulator) -> None:
    simulator.set(faults=["1:timeout"])
    sdks = SDKs(simulator.url, simulator.xai_host, timeout=0.5)
    with pytest.raises(LATE):
        await sdks.ask(vendor, "Are you there?")
    await sdks.close()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_answers_that_cannot_be_used_are_billed(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    finishes = {}
    for kind in ("refusal", "content_filter", "malformed", "empty", "truncated"):
        simulator.set(faults=[f"1:{kind}"])
        got = await sdks.ask(vendor, f"Be {kind}.", schema=SCHEMA)
        finishes[kind] = got.finish
        assert last(simulator)["usage"]["output"] == got.usage.output
        if kind in ("malformed", "truncated"):
            with pytest.raises(json.JSONDecodeError):
                json.loads(got.text)
        elif kind == "empty":
            assert got.text == ""
    assert (finishes["refusal"], finishes["content_filter"]) == (REFUSED[vendor], FILTERED[vendor])


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_web_page_instead_of_an_answer_is_not_taken_for_one(
    vendor: str, sdks: SDKs, simulator: Simulator
) -> None:
    simulator.set(faults=["1:html"])
    with pytest.raises(Exception):  # noqa: B017
        await sdks.ask(vendor)
    assert last(simulator)["outcome"] == "html"


async def test_faults_are_drawn_the_same_again(simulator: Simulator) -> None:
    def outcomes(books: list[dict[str, Any]]) -> list[str]:
        return [entry["outcome"] for entry in books]

    async def forty(found: Simulator) -> list[str]:
        sdks = SDKs(found.url, found.xai_host)
        for number in range(20):
            for _ in range(2):
                try:
                    await sdks.ask("anthropic", f"Number {number}.")
                except anthropic.APIStatusError:
                    continue
        await sdks.close()
        return outcomes(found.books())

    options: dict[str, Any] = {"seed": 11, "fault": ["0.3:overloaded", "0.3:refusal"]}
    with running(**options) as one, running(**options) as other:
        first, second = await forty(one), await forty(other)
    assert first == second
    assert set(first) == {"answered", "overloaded", "refusal"}
    assert any(first[index] != first[index + 1] for index in range(0, 40, 2))
