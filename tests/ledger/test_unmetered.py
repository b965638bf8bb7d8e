"""A call whose cost nothing bounds: no cap can hold it, so every cap refuses it."""

from __future__ import annotations

from typing import Any

from bessemer.cluster.errors import BudgetExhausted
from bessemer.cluster.ledger import Ledger, Outcome, Refusal, Reserved, SetCap
from tests.ledger._make import one, opening, reserving, settling, used


def unmetered(token: str = "k1", **changes: Any) -> Any:
    return reserving(token=token, worst=0, unmetered=True, **changes)


def test_any_cap_refuses_an_unmetered_call(ledger: Ledger) -> None:
    one(ledger, opening(caps={"run:r": None, "day:d": 1000}))
    refused = one(ledger, unmetered(scopes=("run:r", "day:d")))
    assert isinstance(refused, Refusal)
    assert refused.error == BudgetExhausted.__name__
    assert refused.facts["scope"] == "day:d"
    assert "cannot hold an unmetered call" in refused.message
    assert used(ledger, "day:d") == 0


def test_without_a_cap_an_unmetered_call_is_booked_at_nothing(ledger: Ledger) -> None:
    one(ledger, opening(caps={"run:r": None}))
    assert isinstance(one(ledger, unmetered()), Reserved)
    assert isinstance(one(ledger, settling(cost=0)), Outcome)
    assert used(ledger) == 0


def test_a_finished_unmetered_call_still_answers_under_a_cap_set_later(ledger: Ledger) -> None:
    one(ledger, opening(caps={"run:r": None}))
    one(ledger, unmetered())
    one(ledger, settling(cost=0))
    one(ledger, SetCap(scope="run:r", cap=5, version=2))
    assert isinstance(one(ledger, unmetered("k2")), Outcome)
    assert isinstance(one(ledger, unmetered("k3", index=1)), Refusal)
