"""A price is exact, and no call costs more than was reserved for it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as DataUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from bessemer.actors.backends.base import Usage
from bessemer.cluster.backend_settings import PriceOverride, PriceSettings
from bessemer.cluster.errors import SettingsError, UnpricedModel
from bessemer.cluster.prices import OVERHEAD_TOKENS, PriceBook, load_prices

MODELS = {
    "anthropic/claude-opus-4-6": "anthropic",
    "anthropic/claude-haiku-5-5": "anthropic",
    "openai/gpt-5.4": "openai",
    "google/gemini-3.1-pro-preview": "google",
    "google/gemini-4-argon": "google",
    "xai/grok-4.20-0309-reasoning": "x-ai",
}
BOOK = PriceBook()
TIERS = ("", "default", "batch", "flex", "priority", "scale")


@st.composite
def usages(draw: st.DrawFn, most_input: int = 600_000, most_output: int = 60_000) -> Usage:
    asked = draw(st.integers(0, most_input))
    read = draw(st.integers(0, asked))
    write = draw(st.integers(0, asked - read))
    output = draw(st.integers(0, most_output))
    return Usage(
        input=asked,
        cache_read=read,
        cache_write=write,
        cache_write_1h=draw(st.integers(0, write)),
        output=output,
        reasoning=draw(st.integers(0, output)),
    )


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MODELS)), usages())
def test_a_cost_is_what_the_price_data_says(model: str, usage: Usage) -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    known = calc_price(
        DataUsage(
            input_tokens=usage.input,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            cache_write_1h_tokens=usage.cache_write_1h,
            output_tokens=usage.output,
        ),
        model.partition("/")[2],
        provider_id=MODELS[model],
        genai_request_timestamp=at,
    )
    assert BOOK.cost(model, usage, at) == math.ceil(known.total_price * 1_000_000)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MODELS)), usages(), st.integers(0, 5000), st.integers(0, 5000))
def test_no_usage_within_its_bounds_costs_more_than_the_worst_case(
    model: str, usage: Usage, spare_bytes: int, spare_output: int
) -> None:
    sent = max(0, usage.input - OVERHEAD_TOKENS) + spare_bytes
    worst = BOOK.worst_case(model, sent, usage.output + spare_output)
    assert BOOK.cost(model, usage) <= worst


def test_a_price_follows_its_date() -> None:
    usage = Usage(input=1_000_000)
    before, after = datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert BOOK.cost("google/gemini-4-argon", usage, before) == 2_000_000
    assert BOOK.cost("google/gemini-4-argon", usage, after) == 4_000_000


def test_a_long_context_changes_the_price_of_the_whole_call() -> None:
    assert BOOK.cost("google/gemini-3.1-pro-preview", Usage(input=200_000)) == 400_000
    assert BOOK.cost("google/gemini-3.1-pro-preview", Usage(input=200_001)) == 800_004


def test_a_fraction_is_rounded_up_once() -> None:
    book = PriceBook({"x/y": {"input": "0.1", "output": "0.1"}})
    assert book.cost("x/y", Usage(input=1, output=1)) == 1
    assert book.cost("x/y", Usage(input=6, output=5)) == 2
    assert book.cost("x/y", Usage()) == 0


def test_overrides_win_and_a_pattern_covers_a_provider() -> None:
    book = PriceBook(
        {
            "openai/gpt-5.4": {"input": 1, "output": 2, "cache_read": "0.5"},
            "openai-compatible/*": {"free": True},
            "scripted/paid": {"input": 3, "output": 3},
        }
    )
    assert book.cost("openai/gpt-5.4", Usage(input=10, cache_read=4, output=1)) == 10
    assert book.cost("openai-compatible/any", Usage(input=10**9)) == 0
    assert book.cost("scripted/paid", Usage(output=2)) == 6
    assert book.cost("scripted/other", Usage(output=2)) == 0
    assert book.data_version.startswith("genai-prices-")
    assert "+" in book.data_version
    assert "+" not in PriceBook().data_version


@pytest.mark.parametrize(
    "name", ["openai-compatible/llama", "openai/no-such-model-zz", "openai/text-embedding-3-small"]
)
def test_a_model_without_a_price_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(UnpricedModel, match="overrides") as caught:
        BOOK.require(name)
    assert name in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("bad", [{"input": -1, "output": 1}, {"input": "NaN"}, {"inptu": 1}, {}, {"input": "inf"}])
def test_a_malformed_override_names_itself(bad: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="price override x/y") as caught:
        PriceBook({"x/y": bad})
    assert "\n" not in caught.value.message


def test_free_providers_need_no_price() -> None:
    assert BOOK.worst_case("embedded/qwen", 10**6, 10**6) == 0
    assert PriceBook(free=frozenset({"openai-compatible"})).worst_case("openai-compatible/x", 10**6, 1000) == 0


def test_the_users_table_wins_over_the_shipped_one() -> None:
    price = PriceOverride(input=Decimal(7), output=Decimal(7))
    book = load_prices(PriceSettings(overrides={"openai/gpt-5.4": price}))
    assert book.cost("openai/gpt-5.4", Usage(input=1)) == 7


def test_a_tier_without_a_price_of_its_own_costs_the_usual_one() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    costs = {tier: BOOK.cost("openai/gpt-5.4", Usage(input=1000, output=100, tier=tier), at) for tier in TIERS}
    assert costs == {"": 4_000, "default": 4_000, "batch": 2_000, "flex": 2_000, "priority": 8_000, "scale": 4_000}
    assert BOOK.cost("xai/grok-4.20-0309-reasoning", Usage(input=1000, output=100, tier="batch"), at) == 1_200


def test_an_unpriced_name_brings_the_nearest_ones() -> None:
    with pytest.raises(UnpricedModel, match="did you mean anthropic/claude-opus-4-6"):
        BOOK.require("anthropic/claud-opus-4-6")
    with pytest.raises(UnpricedModel) as caught:
        BOOK.require("openai-compatible/mine")
    assert "did you mean" not in caught.value.message


def test_context_windows_are_known_where_the_price_data_knows_them() -> None:
    assert BOOK.context_window("anthropic/claude-opus-4-6") == 1_000_000
    assert BOOK.context_window("google/gemini-3.1-pro-preview") is None
    assert BOOK.context_window("embedded/any") is None
