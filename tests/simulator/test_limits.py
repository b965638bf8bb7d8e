"""The vendor's own limits, and the headers that tell of them."""

from __future__ import annotations

import asyncio

import anthropic
import pytest

from bessemer.interfaces.simulator import Simulator, running
from bessemer.interfaces.simulator._dials import parse_rate
from bessemer.interfaces.simulator._limits import Bucket
from tests.simulator._sdks import SDKs, anthropic_request


async def ask_many(sdks: SDKs, vendor: str, count: int) -> list[BaseException | None]:
    async def one(number: int) -> BaseException | None:
        try:
            await sdks.ask(vendor, f"Many {number}.")
        except Exception as error:
            return error
        return None

    return await asyncio.gather(*(one(number) for number in range(count)))


async def test_more_than_the_rate_is_refused_with_a_time(sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(rate="0.5")
    errors = [error for error in await ask_many(sdks, "anthropic", 5) if error is not None]
    assert len(errors) == 4
    assert isinstance(errors[0], anthropic.RateLimitError)
    assert errors[0].response.headers["retry-after"] == "2"


async def test_each_model_has_a_limit_of_its_own(sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(rate="0.1")
    for vendor in ("anthropic", "openai", "google", "xai"):
        assert [error for error in await ask_many(sdks, vendor, 1) if error is not None] == []


async def test_more_in_flight_than_allowed_is_refused(sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(concurrency=3, latency="0.5")
    errors = [error for error in await ask_many(sdks, "openai", 8) if error is not None]
    assert len(errors) == 5


def test_a_rate_falls_and_recovers_by_its_plan() -> None:
    bucket = Bucket(parse_rate("100,50@30,100@60"), since=0.0)

    def passed(start: float, seconds: int) -> int:
        moments = (start + number / 1000 for number in range(seconds * 1000))
        return sum(bucket.take(moment).retry_after is None for moment in moments)

    assert 99 + 2000 <= passed(0.0, 20) <= 101 + 2000
    assert passed(20.0, 10) in range(999, 1002)
    assert passed(30.0, 30) in range(1499, 1552)
    assert passed(60.0, 20) in range(1999, 2002)


async def test_the_headers_tell_the_limit_unless_it_is_hidden(sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(rate="10")
    raw = await sdks.anthropic.messages.with_raw_response.create(**anthropic_request("Headers?"))
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "600"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "9"
    with running(rate="10", hide_limits=True) as hidden:
        silent = SDKs(hidden.url, hidden.xai_host)
        raw = await silent.anthropic.messages.with_raw_response.create(**anthropic_request("Headers?"))
        await silent.close()
    assert not [name for name in raw.headers if "ratelimit" in name]


@pytest.mark.parametrize("vendor", ["anthropic", "openai", "google", "xai"])
async def test_a_hundred_calls_at_once_are_in_flight_together(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(latency="1")
    assert await ask_many(sdks, vendor, 100) == [None] * 100
    assert simulator.state()["most_in_flight"] >= 100
