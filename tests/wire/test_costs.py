"""What a call costs, to the micro-dollar, from the wire to the ledger's row.

The costs are worked out by hand from the vendors' dollars for a million tokens, which are micro-dollars for one token.
"""

from __future__ import annotations

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope
from bessemer.actors.backends.base import ModelRequest
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.ledger.operations import Outcome, Reserve
from tests.backends._memory_ledger import MemoryLedger

from ._vendors import Answer, Tokens
from .conftest import Vendor

CACHED = Tokens(input=10_000, cache_read=6_000, output=500, reasoning=200)
WRITTEN = Tokens(input=10_000, cache_write=6_000, output=500)
HOURLY = Tokens(input=10_000, cache_read=1_000, cache_write=6_000, cache_write_1h=2_000, output=500)
ODD = Tokens(input=333, output=7)
LONG = Tokens(input=300_000, output=1_000, reasoning=400)

COSTS = {
    "anthropic": {  # 5 in, 0.50 read, 6.25 written for 5 minutes, 10 for an hour, 25 out
        Tokens(1000, output=100): 7_500,  # 1000 x 5 + 100 x 25
        CACHED: 35_500,  # 4000 x 5 + 6000 x 0.5 + 500 x 25
        WRITTEN: 70_000,  # 4000 x 5 + 6000 x 6.25 + 500 x 25
        HOURLY: 73_000,  # 3000 x 5 + 1000 x 0.5 + 4000 x 6.25 + 2000 x 10 + 500 x 25
        ODD: 1_840,  # 333 x 5 + 7 x 25
        LONG: 1_525_000,  # no long-context price since March 2026
    },
    "openai": {  # 2.50 in, 0.25 read, 15 out; above 272,000: 5, 0.50, 22.50
        Tokens(1000, output=100): 4_000,  # 1000 x 2.5 + 100 x 15
        CACHED: 19_000,  # 4000 x 2.5 + 6000 x 0.25 + 500 x 15
        ODD: 938,  # 832.5 + 105 = 937.5, rounded up
        LONG: 1_522_500,  # 300000 x 5 + 1000 x 22.5
    },
    "google": {  # 2 in, 0.20 read, 12 out; above 200,000: 4, 0.40, 18
        Tokens(1000, output=100): 3_200,  # 1000 x 2 + 100 x 12
        CACHED: 15_200,  # 4000 x 2 + 6000 x 0.2 + 500 x 12
        ODD: 750,  # 666 + 84
        LONG: 1_218_000,  # 300000 x 4 + 1000 x 18
    },
    "xai": {  # 1.25 in, 0.20 read, 2.50 out; from 200,000: 2.50, 0.40, 5
        Tokens(1000, output=100): 1_500,  # 1000 x 1.25 + 100 x 2.5
        CACHED: 7_450,  # 4000 x 1.25 + 6000 x 0.2 + 500 x 2.5
        ODD: 434,  # 416.25 + 17.5 = 433.75, rounded up
        LONG: 755_000,  # 300000 x 2.5 + 1000 x 5
    },
}


def call(request: ModelRequest) -> CallEnvelope:
    return CallEnvelope(run="r", path="s", index=0, epoch=1, scopes=("run:r",), request=request, within=30.0)


async def outcome(vendor: Vendor, request: ModelRequest) -> tuple[Outcome, MemoryLedger]:
    ledger = MemoryLedger()
    service = BackendService(ledger, settings=BackendSettings())
    ended = await service.call(call(request))
    await service.close()
    assert isinstance(ended, Outcome)
    return ended, ledger


async def test_every_call_costs_what_a_hand_computed_table_says(vendor: Vendor) -> None:
    for tokens, micro_dollars in COSTS[vendor.provider].items():
        vendor.server.then = Answer(tokens=tokens)
        ended, ledger = await outcome(vendor, vendor.ask(shared_prefix="x" * tokens.input, max_output_tokens=1000))
        row = ledger.rows[0].row
        assert (ended.cost, row["cost"], ledger.used) == (micro_dollars,) * 3, tokens
        found = (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["reasoning_tokens"])
        assert found == (tokens.input, tokens.cache_read, tokens.output, tokens.reasoning)
        assert (row["cache_write_tokens"], row["cache_write_1h_tokens"]) == (tokens.cache_write, tokens.cache_write_1h)
        reserved = next(op for op in ledger.log if isinstance(op, Reserve))
        assert reserved.worst >= ended.cost


@pytest.mark.parametrize(
    ("ticks", "events"),
    [(15_000_000, 0), (15_149_000, 0), (15_151_000, 1), (30_000_000, 1), (14_000_000, 1), (None, 0)],
)
async def test_the_vendors_bill_is_kept_and_compared(vendor: Vendor, ticks: int | None, events: int) -> None:
    if vendor.provider != "xai":
        pytest.skip("only xAI sends a bill")
    vendor.server.then = Answer(tokens=Tokens(1000, output=100), ticks=ticks)
    ended, ledger = await outcome(vendor, vendor.ask())
    assert ended.cost == 1_500
    assert ledger.rows[0].row["vendor_cost"] == (None if ticks is None else ticks / 10_000)
    assert [row.table for row in ledger.rows[1:]] == ["events"] * events


@pytest.mark.parametrize(("tier", "micro_dollars"), [("default", 4_000), ("priority", 8_000), ("flex", 2_000)])
async def test_the_tier_that_served_a_call_decides_its_price(vendor: Vendor, tier: str, micro_dollars: int) -> None:
    if vendor.provider != "openai":
        pytest.skip("only OpenAI's price data has tiers for this model")
    vendor.server.then = Answer(tokens=Tokens(1000, output=100), tier=tier)
    ended, ledger = await outcome(vendor, vendor.ask())
    assert (ended.cost, ledger.rows[0].row["tier"]) == (micro_dollars, tier)
