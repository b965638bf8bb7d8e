"""A vendor that charges a thousandth of a dollar a call, its own books, and 500 calls that want to be bought."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors.backends.base import ModelRequest
from bessemer.cluster.ledger import Ledger, Outcome

PRICE = 1000
CALLS = 500
ALLOWED = 200
CAP = ALLOWED * PRICE

PLAIN = "default: { text: done, latency: 0.02 }"
LOSING = """
rules:
  - match: { text: 'call \\d*7\\b' }
    times: 1
    answer: { fail: timeout, maybe_billed: true, latency: 0.02 }
default: { text: done, latency: 0.02 }
"""
"""Every tenth call gets no answer the first time, and may have been billed."""


def backends(folder: Path, scenario: str) -> dict[str, Any]:
    """The `backends:` section of the settings for this vendor."""
    (folder / "scenario.yaml").write_text(scenario)
    return {
        "scripted": {"scenario": str(folder / "scenario.yaml"), "books": str(folder / "books.jsonl")},
        "prices": {"overrides": {"scripted/*": {"call": "0.001"}}},
    }


def wanted(scopes: tuple[str, ...], run: str = "r", epoch: int = 1) -> list[CallEnvelope]:
    """500 different calls."""
    return [
        CallEnvelope(
            run=run,
            path=f"s/{number}",
            index=0,
            epoch=epoch,
            scopes=scopes,
            request=ModelRequest(backend="scripted/one", prompt=f"call {number}", max_output_tokens=10),
            within=120.0,
        )
        for number in range(CALLS)
    ]


class Books:
    """The ledger of a folder and what its vendor says, compared."""

    def __init__(self, folder: Path, url: str) -> None:
        self._served = folder / "books.jsonl"
        self._url = url
        self.highest: dict[str, int] = {}

    async def watch(self) -> None:
        """Look at what counts against each cap, over and over, and keep the most."""
        with Ledger.open(self._url) as ledger:
            while True:
                for one in await asyncio.to_thread(ledger.scopes):
                    self.highest[one.scope] = max(self.highest.get(one.scope, 0), one.used)
                await asyncio.sleep(0.02)

    def check(self, scopes: tuple[str, ...], cap: int, ended: list[Outcome | BudgetRefused]) -> None:
        """Never over, in the ledger and in the vendor's books; nothing bought twice; refusals say what is left."""
        with Ledger.open(self._url) as ledger:
            charged = {one.scope: one.used for one in ledger.scopes()}
            attempts = {one.attempt: one for one in ledger.attempts("r")}
        lines = self._served.read_text().splitlines() if self._served.exists() else []
        served = Counter(str(json.loads(line)["attempt"]) for line in lines)
        assert set(served) <= set(attempts)
        assert set(served.values()) <= {1}
        for scope in scopes:
            assert self.highest.get(scope, 0) <= cap
            assert charged[scope] <= cap
            assert charged[scope] == sum(one.charge for one in attempts.values())
        assert len(served) * PRICE <= cap
        refused = [one for one in ended if isinstance(one, BudgetRefused)]
        assert refused
        for one in refused:
            assert one.facts["scope"] in scopes
            assert one.facts["left"] < one.facts["needed"] == PRICE
            assert f"bessemer budget set {one.facts['scope']} USD" in one.failure.message
