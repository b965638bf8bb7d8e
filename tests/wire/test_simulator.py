"""Panels, faults and books: the same backends against the simulator, which counts and bills for itself.

The simulator's own books say how many tokens a request had; the prices here are literal, in micro-dollars a token.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope, RetryPolicy, read_answer
from bessemer.actors.backends.base import Attachment, CallFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.interfaces.simulator import Simulator, running
from tests.backends._memory_ledger import MemoryLedger

from .test_requests import PIXEL, SCHEMA


class Price(NamedTuple):
    """Micro-dollars a token, without long context."""

    input: Decimal
    read: Decimal
    write: Decimal
    output: Decimal

    def of(self, usage: dict[str, Any]) -> int:
        """The cost of what the simulator's books say."""
        read, write = usage["cache_read"], usage["cache_write_5m"]
        plain = usage["input"] - read - write - usage["cache_write_1h"]
        assert usage["cache_write_1h"] == 0
        total = self.input * plain + self.read * read + self.write * write + self.output * usage["output"]
        return math.ceil(total)


PRICES = {
    "anthropic/claude-opus-4-6": Price(Decimal(5), Decimal("0.5"), Decimal("6.25"), Decimal(25)),
    "openai/gpt-5.4": Price(Decimal("2.5"), Decimal("0.25"), Decimal(0), Decimal(15)),
    "google/gemini-3.1-pro-preview": Price(Decimal(2), Decimal("0.2"), Decimal(0), Decimal(12)),
    "xai/grok-4.20-0309-reasoning": Price(Decimal("1.25"), Decimal("0.2"), Decimal(0), Decimal("2.5")),
}
ONCE = RetryPolicy(attempts=1)


class House:
    """A backend service in front of the simulator."""

    def __init__(self, simulator: Simulator, name: str) -> None:
        self.simulator = simulator
        self.name = name
        self.ledger = MemoryLedger()
        self.service = BackendService(self.ledger, settings=BackendSettings(), policy=ONCE)
        self._calls = 0

    async def call(self, **changes: Any) -> Reply | CallFailure:
        given: dict[str, Any] = {"backend": self.name, "prompt": "hi", "max_output_tokens": 2000, "timeout": 60.0}
        request = ModelRequest(**{**given, **changes})
        self._calls += 1
        envelope = CallEnvelope(
            run="r", path="s", index=self._calls, epoch=1, scopes=("run:r",), request=request, within=60.0
        )
        return read_answer(await self.service.call(envelope))


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with running(seed=7) as simulator:
        yield simulator


@pytest.fixture(params=list(PRICES))
async def house(
    shared: Simulator, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    for variable, value in shared.environment.items():
        monkeypatch.setenv(variable, value)
    opened = House(shared, request.param)
    yield opened
    await opened.service.close()
    shared.set(faults=[])


async def test_usage_and_cost_are_those_of_the_vendors_own_books(house: House) -> None:
    asked = len(house.simulator.books())
    image = Attachment.of(PIXEL, "image/png")
    answers = [
        await house.call(prompt="say something"),
        await house.call(output_schema=SCHEMA),
        await house.call(attachments=(image,), prompt="what is it?"),
    ]
    prefix = f"a deliverable for {house.name}\n" + "one line of the deliverable\n" * 1500
    answers += [await house.call(shared_prefix=prefix, prompt=f"persona {number}") for number in range(3)]
    assert all(isinstance(answer, Reply) for answer in answers), answers
    books = house.simulator.books()[asked:]
    rows = [row.row for row in house.ledger.rows if row.table == "calls"]
    assert len(books) == len(rows) == 6
    for entry, row in zip(books, rows, strict=True):
        usage = entry["usage"]
        assert (row["input_tokens"], row["output_tokens"]) == (usage["input"], usage["output"])
        assert (row["cache_read_tokens"], row["reasoning_tokens"]) == (usage["cache_read"], usage["reasoning"])
        assert row["cost"] == PRICES[house.name].of(usage)
    assert house.ledger.used == sum(row["cost"] for row in rows)
    assert [row["cache_read_tokens"] > 8_000 for row in rows[3:]] == [False, True, True]
    assert not [row for row in house.ledger.rows if row.table == "events"]


FAULTS = [
    ("rate_limited", "rate_limited", "released"),
    ("overloaded", "overloaded", "released"),
    ("server_error", "infrastructure", "in_doubt"),
    ("dropped", "connection", "in_doubt"),
    ("truncated", "truncated", "settled"),
    ("malformed", "malformed_output", "settled"),
    ("context_length", "context_length", "released"),
    ("bad_request", "bad_request", "released"),
    ("auth", "auth", "released"),
    ("permission", "permission", "released"),
]


@pytest.mark.parametrize(("fault", "kind", "state"), FAULTS)
async def test_each_fault_ends_as_the_ledger_should_hold_it(house: House, fault: str, kind: str, state: str) -> None:
    house.simulator.set(faults=[f"1:{fault}"])
    answer = await house.call(output_schema=SCHEMA)
    assert isinstance(answer, CallFailure)
    assert (answer.kind, house.ledger.states()) == (kind, [state]), answer
    assert house.simulator.books()[-1]["billed"] <= (house.ledger.used > 0)


async def test_a_refusal_is_paid_for(house: House) -> None:
    house.simulator.set(faults=["1:refusal"])
    answer = await house.call()
    if house.name.startswith("xai"):
        pytest.skip("xAI refuses in ordinary words")
    assert isinstance(answer, CallFailure)
    assert answer.kind in ("refusal", "content_filter")
    assert house.ledger.states() == ["settled"]
