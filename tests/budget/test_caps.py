"""500 calls at once under a cap that allows 200: never one micro-dollar over, in any scope, whatever gets lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import BudgetRefused, RetryPolicy
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.budget import DayBudget
from bessemer.cluster.ledger import GroupCommit, Ledger, LedgerClient, Outcome, SetCap
from bessemer.cluster.ledger.operations import answers_json, operations_json
from tests.budget._books import ALLOWED, CAP, LOSING, PLAIN, Books, backends, wanted
from tests.ledger._make import opening

POLICY = RetryPolicy(attempts=3, seconds=60, base=0.001, longest=0.001)
SCOPES = ("run:r", "day:2026-11-21", "account:team", "queue:night")
NIGHT = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)


class House:
    """A service over a ledger on disk; the clock of its days is moved by hand."""

    def __init__(self, folder: Path, scenario: str, day_cap: int | None = None) -> None:
        self.url = f"sqlite:///{folder / 'ledger.db'}"
        self.ledger = Ledger.open(self.url)
        self.keeper = GroupCommit(self.ledger)
        self.now = NIGHT
        self.books = Books(folder, self.url)
        self.service = BackendService(
            LedgerClient(self._send),
            settings=BackendSettings.model_validate(backends(folder, scenario)),
            policy=POLICY,
            day=DayBudget(day_cap, "UTC", lambda: self.now),
        )

    async def _send(self, message: bytes) -> bytes:
        answers = await self.keeper.submit(operations_json.validate_json(message))
        return answers_json.dump_json(list(answers))

    async def buy(self, *scopes: str, count: int = 500) -> list[Outcome | BudgetRefused]:
        watching = asyncio.create_task(self.books.watch())
        ended = await asyncio.gather(*(self.service.call(one) for one in wanted(scopes)[:count]))
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        return list(ended)

    def used(self, scope: str) -> int:
        return next(one.used for one in self.ledger.scopes() if one.scope == scope)


@pytest.fixture
async def closing() -> AsyncIterator[list[House]]:
    houses: list[House] = []
    yield houses
    for house in houses:
        await house.service.close()
        await house.keeper.close()
        house.ledger.close()


@pytest.mark.parametrize("capped", SCOPES)
async def test_no_scope_is_ever_passed(tmp_path: Path, closing: list[House], capped: str) -> None:
    house = House(tmp_path, PLAIN)
    closing.append(house)
    house.ledger.apply([opening(caps={scope: CAP if scope == capped else None for scope in SCOPES})])
    ended = await house.buy(*SCOPES)
    house.books.check((capped,), CAP, ended)
    assert sum(isinstance(one, Outcome) for one in ended) == ALLOWED
    assert {scope: house.used(scope) for scope in SCOPES} == dict.fromkeys(SCOPES, CAP)


async def test_with_a_tenth_lost_in_flight(tmp_path: Path, closing: list[House]) -> None:
    house = House(tmp_path, LOSING)
    closing.append(house)
    house.ledger.apply([opening(caps={"run:r": CAP})])
    ended = await house.buy("run:r")
    house.books.check(("run:r",), CAP, ended)
    doubts = house.ledger.doubts()
    assert doubts
    answered = sum(isinstance(one, Outcome) and one.kind == "answer" for one in ended)
    assert answered + len(doubts) == ALLOWED


async def test_after_midnight_the_new_day_pays(tmp_path: Path, closing: list[House]) -> None:
    house = House(tmp_path, PLAIN, day_cap=3000)
    closing.append(house)
    house.ledger.apply([opening(caps={"run:r": None, "day:2026-11-21": 3000})])
    first = await house.buy("run:r", "day:2026-11-21", count=5)
    assert [isinstance(one, Outcome) for one in first].count(True) == 3
    house.now += timedelta(seconds=2)
    second = await house.buy("run:r", "day:2026-11-21", count=5)
    assert all(isinstance(one, Outcome) for one in second)
    days = {one.scope: (one.used, one.cap) for one in house.ledger.scopes() if one.scope.startswith("day:")}
    assert days == {"day:2026-11-21": (3000, 3000), "day:2026-11-22": (2000, 3000)}


async def test_a_day_that_was_capped_beforehand_keeps_its_cap(tmp_path: Path, closing: list[House]) -> None:
    house = House(tmp_path, PLAIN, day_cap=50_000)
    closing.append(house)
    house.ledger.apply([opening(caps={"run:r": None, "day:2026-11-21": None})])
    house.ledger.apply([SetCap(scope="day:2026-11-22", cap=1000, version=1)])
    house.now += timedelta(seconds=2)
    ended = await house.buy("run:r", "day:2026-11-21", count=4)
    (paid,) = [one for one in ended if isinstance(one, Outcome)]
    assert paid.cost == 1000
    assert house.used("day:2026-11-22") == 1000


def test_a_day_begins_where_its_people_are() -> None:
    late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    assert DayBudget(zone="UTC", clock=lambda: late).scope == "day:2026-11-21"
    assert DayBudget(zone="Europe/Berlin", clock=lambda: late).scope == "day:2026-11-22"
    days = DayBudget(zone="UTC", clock=lambda: late)
    assert days.current(("run:r", "day:2026-01-01", "account:a")) == ("run:r", "day:2026-11-21", "account:a")
