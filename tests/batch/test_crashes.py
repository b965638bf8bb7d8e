"""Collectors that vanish: nothing is bought twice, and what is out comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bessemer.actors.backends.base import BackendFailure, CallFailure, Reply
from bessemer.actors.batch import BatchService, Encoded, open_desk

from ._bench import Bench


class Doomed:
    """A desk whose process ends at a moment of a submission."""

    def __init__(self, desk: Any, *, before: bool) -> None:
        self._desk = desk
        self._before = before
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)

    async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
        if not self._before:
            await self._desk.create(mark, requests)
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError


async def vanish(service: BatchService, calls: asyncio.Task[Any]) -> None:
    """End a collector as kill -9 does: nothing is written any more."""
    service.books = None  # type: ignore[assignment]
    for task in service._tasks:
        task.cancel()
    calls.cancel()
    await asyncio.wait([calls])


@pytest.mark.parametrize("before", [True, False], ids=["before-it-was-sent", "before-it-was-marked"])
async def test_a_submission_cut_short_is_found_again_or_made_once(bench: Bench, before: bool) -> None:
    await bench.open()
    desk = Doomed(open_desk(bench.provider, bench.backends), before=before)
    first = bench.collector(desk)
    calls = asyncio.create_task(bench.ask(first, 6))
    await asyncio.wait_for(desk.reached.wait(), 20)
    assert bench.states() == ["submitted"] * 6
    await vanish(first, calls)
    await bench.open()
    replies = await asyncio.wait_for(bench.ask(bench.collector(), 6), 40)
    assert all(isinstance(one, Reply) for one in replies), replies[:1]
    assert len(bench.bought()) == 6
    assert bench.states().count("settled") == 6
    assert bench.run("r").charged == sum(one.cost or 0 for one in bench.attempts("r"))
    assert set(bench.states()) == ({"settled", "released"} if before else {"settled"})


async def test_a_lost_answer_to_a_submission_is_looked_for(bench: Bench) -> None:
    bench.simulator.set(faults=["1:batch_dropped"])
    await bench.open()
    calls = asyncio.create_task(bench.ask(bench.collector(), 5))
    await bench.until(lambda: bench.states() == ["submitted"] * 5)
    await asyncio.sleep(1)
    bench.simulator.set(faults=[])
    replies = await asyncio.wait_for(calls, 60)
    assert all(isinstance(one, Reply) for one in replies), replies[:1]
    assert len(bench.bought()) == 5


async def test_results_wait_for_whoever_asks_after_a_restart(bench: Bench) -> None:
    await bench.open()
    first = bench.collector()
    calls = asyncio.create_task(bench.ask(first, 4))
    await bench.until(lambda: any(not one.startswith("intent") for one in first.describe()["batches"]))
    await vanish(first, calls)
    second = bench.collector()
    await second.load()
    await bench.until(lambda: bench.woken == ["r"])
    assert bench.states() == ["submitted"] * 4
    await bench.open()
    replies = await asyncio.wait_for(bench.ask(second, 4), 20)
    assert all(isinstance(one, Reply) for one in replies)
    assert bench.states() == ["settled"] * 4
    assert len(bench.bought()) == 4


async def test_parked_calls_of_a_lost_collector_are_taken_over(bench: Bench) -> None:
    await bench.open()
    first = bench.collector(max_wait_seconds=60)
    calls = asyncio.create_task(bench.ask(first, 3))
    await bench.until(lambda: first.describe()["forming"] == 3)
    assert bench.states() == ["parked"] * 3
    await vanish(first, calls)
    replies = await asyncio.wait_for(bench.ask(bench.collector(), 3), 20)
    assert all(isinstance(one, Reply) for one in replies)
    assert bench.states() == ["settled"] * 3
    assert len(bench.bought()) == 3


async def test_a_run_that_went_away_gets_its_answers_and_is_called_back(bench: Bench) -> None:
    await bench.open()
    service = bench.collector()
    calls = asyncio.create_task(bench.ask(service, 3))
    await bench.until(lambda: bench.states() == ["submitted"] * 3)
    calls.cancel()
    await bench.until(lambda: bench.states() == ["settled"] * 3)
    await bench.until(lambda: bench.woken == ["r"])
    assert all(isinstance(one, Reply) for one in await bench.ask(service, 3))
    assert len(bench.bought()) == 3


async def test_a_refused_submission_costs_nothing_and_fails_its_calls(bench: Bench) -> None:
    class Refusing(Doomed):
        async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
            if any("number 2" in str(one.body) for one in requests):
                raise BackendFailure(CallFailure(kind="bad_request", message="there is something wrong with one"))
            return str(await self._desk.create(mark, requests))

    await bench.open()
    desk = Refusing(open_desk(bench.provider, bench.backends), before=True)
    replies = await asyncio.wait_for(bench.ask(bench.collector(desk), 5), 40)
    failed = [n for n, one in enumerate(replies) if isinstance(one, CallFailure)]
    assert failed == [2]
    assert len(bench.bought()) == 4


async def test_a_strangers_batch_of_the_same_size_is_not_taken_for_ours(anthropic: Bench) -> None:
    anthropic.simulator.set(batch_seconds=3)
    await anthropic.open()
    real: Any = open_desk("anthropic", anthropic.backends)
    desk = Doomed(real, before=True)
    first = anthropic.collector(desk)
    calls = asyncio.create_task(anthropic.ask(first, 2))
    await asyncio.wait_for(desk.reached.wait(), 20)
    strange = [await real.encode(anthropic.envelope(90 + n).request, f"stranger{n}") for n in range(2)]
    await real.create("bessemer-other", strange)
    await vanish(first, calls)
    replies = await asyncio.wait_for(anthropic.ask(anthropic.collector(), 2), 60)
    assert all(isinstance(one, Reply) for one in replies)
    assert len(anthropic.bought()) == 4
    assert sorted(anthropic.states()) == ["released"] * 2 + ["settled"] * 2


async def test_a_batch_filled_by_half_is_adopted_and_the_rest_sent_once(xai: Bench) -> None:
    class Half(Doomed):
        async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
            await self._desk.create(mark, requests[:3])
            self.reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    await xai.open()
    desk = Half(open_desk("xai", xai.backends), before=False)
    first = xai.collector(desk)
    calls = asyncio.create_task(xai.ask(first, 6))
    await asyncio.wait_for(desk.reached.wait(), 20)
    await vanish(first, calls)
    replies = await asyncio.wait_for(xai.ask(xai.collector(), 6), 60)
    assert all(isinstance(one, Reply) for one in replies)
    assert len(xai.bought()) == 6
    assert sorted(xai.states()) == ["released"] * 3 + ["settled"] * 6
