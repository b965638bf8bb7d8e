"""What the settings and the ledger say about calls in batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors.backends.base import BackendFailure, CallFailure, Reply
from bessemer.actors.batch import BatchService, Result, Stage, open_desk
from bessemer.cluster.ledger.operations import Outcome, Submit

from ._bench import Bench


class Around:
    """A real desk, some of whose words are changed."""

    def __init__(self, bench: Bench) -> None:
        self.desk: Any = open_desk(bench.provider, bench.backends)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)


async def expired(bench: Bench, service: BatchService) -> list[Reply | CallFailure]:
    bench.simulator.set(batch_seconds=30, batch_expires=0.5)
    await bench.open()
    return await asyncio.wait_for(bench.ask(service, 3), 30)


async def test_expired_calls_may_be_given_up(anthropic: Bench) -> None:
    replies = await expired(anthropic, anthropic.collector(when_expired="give_up"))
    assert [isinstance(one, CallFailure) and one.kind for one in replies] == ["timeout"] * 3
    assert anthropic.states() == ["released"] * 3
    assert not anthropic.bought()


async def test_expired_calls_may_be_made_live(anthropic: Bench) -> None:
    asked: list[CallEnvelope] = []

    async def live(envelope: CallEnvelope) -> Outcome:
        asked.append(envelope)
        return Outcome(kind="answer", value={"reply": Reply(text="live").model_dump(mode="json")})

    service = anthropic.collector(when_expired="live")
    service.parking = service.parking._replace(live=live)
    replies = await expired(anthropic, service)
    assert [isinstance(one, Reply) and one.text for one in replies] == ["live"] * 3
    assert {one.urgency for one in asked} == {"now"}


async def test_a_call_is_put_into_so_many_batches_and_no_more(anthropic: Bench) -> None:
    replies = await expired(anthropic, anthropic.collector(attempts=3))
    assert all(isinstance(one, CallFailure) and one.kind == "timeout" for one in replies)
    assert anthropic.states() == ["released"] * 9


async def test_a_cap_refuses_a_call_before_it_is_parked(anthropic: Bench) -> None:
    service = anthropic.collector()
    anthropic.epochs["r"] = 1
    worst = service.books.worst_case(request := anthropic.envelope().request, request.most_tokens)
    del anthropic.epochs["r"]
    await anthropic.open(cap=2 * worst)
    ended = await asyncio.gather(*(service.call(anthropic.envelope(n)) for n in range(4)))
    refused = [one for one in ended if isinstance(one, BudgetRefused)]
    assert len(refused) == 2
    assert refused[0].facts["needed"] == worst
    assert len(anthropic.bought()) == 2


async def test_an_unreadable_result_stays_charged_and_its_call_is_sent_once_more(anthropic: Bench) -> None:
    class Garbled(Around):
        async def results(self, batch: str) -> AsyncIterator[Result]:
            async for result in self.desk.results(batch):
                yield result._replace(status="unread", body="{")

    await anthropic.open()
    replies = await asyncio.wait_for(anthropic.ask(anthropic.collector(Garbled(anthropic)), 2), 40)
    assert all(isinstance(one, CallFailure) and one.kind == "infrastructure" for one in replies)
    assert anthropic.states() == ["in_doubt"] * 4
    run = anthropic.run("r")
    assert run.charged == run.in_doubt > 0


async def test_a_result_that_is_missing_is_no_answer(anthropic: Bench) -> None:
    class Forgetful(Around):
        async def results(self, batch: str) -> AsyncIterator[Result]:
            number = 0
            async for result in self.desk.results(batch):
                number += 1
                if number > 1:
                    yield result

    await anthropic.open()
    replies = await asyncio.wait_for(anthropic.ask(anthropic.collector(Forgetful(anthropic)), 3), 40)
    assert sum(isinstance(one, Reply) for one in replies) == 2
    states = anthropic.states()
    assert (states.count("settled"), states.count("in_doubt")) == (2, 2)


async def test_a_reading_that_breaks_off_is_done_again(anthropic: Bench) -> None:
    class Breaking(Around):
        broken = 0

        async def results(self, batch: str) -> AsyncIterator[Result]:
            async for result in self.desk.results(batch):
                yield result
                if self.broken < 2:
                    self.broken += 1
                    raise BackendFailure(CallFailure(kind="connection", message="cut", maybe_billed=True))

    await anthropic.open()
    replies = await asyncio.wait_for(anthropic.ask(anthropic.collector(Breaking(anthropic)), 5), 40)
    assert all(isinstance(one, Reply) for one in replies)
    assert anthropic.states() == ["settled"] * 5


async def test_a_batch_that_its_vendor_has_lost_stays_charged(bench: Bench) -> None:
    """`look` asks the real vendor for an id that it does not know."""
    await bench.open()
    service = bench.collector()

    class Renamed(Around):
        async def look(self, batch: str) -> Any:
            return await self.desk.look(_unknown(bench.provider))

        async def results(self, batch: str) -> AsyncIterator[Result]:
            async for result in self.desk.results(_unknown(bench.provider)):
                yield result

    service = bench.collector(Renamed(bench), attempts=1)
    replies = await asyncio.wait_for(bench.ask(service, 2), 40)
    assert all(isinstance(one, CallFailure) for one in replies)
    assert bench.states() == ["in_doubt"] * 2


def _unknown(provider: str) -> str:
    return {"anthropic": "msgbatch_x", "openai": "batch_x", "google": "batches/x", "xai": "batch_x"}[provider]


async def test_more_results_than_a_page_holds_are_all_collected(bench: Bench) -> None:
    await bench.open()
    replies = await asyncio.wait_for(bench.ask(bench.collector(max_calls=250), 250), 90)
    assert all(isinstance(one, Reply) for one in replies)
    assert bench.states() == ["settled"] * 250
    assert len({one["batch"] for one in bench.bought()}) <= 2


async def test_renaming_a_batch_keeps_its_attempts_and_their_time(anthropic: Bench) -> None:
    await anthropic.open()
    service = anthropic.collector(max_wait_seconds=60)
    task = asyncio.create_task(anthropic.ask(service, 2))
    await anthropic.until(lambda: service.describe()["forming"] == 2)
    names = tuple(one.attempt for one in anthropic.attempts("r"))
    client = anthropic.client
    assert set((await client.submit(Submit(attempts=names, batch="intent/x"))).attempts) == set(names)
    submitted = {one.submitted_at for one in anthropic.attempts("r")}
    assert (await client.submit(Submit(attempts=names, batch="b1", was="another"))).attempts == ()
    assert set((await client.submit(Submit(attempts=names, batch="b1", was="intent/x"))).attempts) == set(names)
    assert set((await client.submit(Submit(attempts=names, batch="b1", was="intent/x"))).attempts) == set(names)
    assert {one.batch for one in anthropic.attempts("r")} == {"b1"}
    assert {one.submitted_at for one in anthropic.attempts("r")} == submitted
    task.cancel()
    await asyncio.wait([task])


async def test_people_are_told_where_no_batch_price_is_known(xai: Bench) -> None:
    await xai.open()
    (reply,) = await xai.ask(xai.collector(), 1, backend="xai/grok-4.7")
    assert isinstance(reply, Reply)
    events = [row for _, table, row in xai.ledger.read_outbox(1000) if table == "events"]
    assert any("batch_price_unknown" in row and "xai/grok-4.7" in row for row in events), events
    calls = [row for _, table, row in xai.ledger.read_outbox(1000) if table == "calls"]
    assert ['"urgency":"overnight"' in row for row in calls] == [True]


async def test_a_batch_refused_for_one_request_runs_the_others(anthropic: Bench) -> None:
    class Strict(Around):
        refused: set[str]

        async def create(self, mark: str, requests: Any) -> str:
            if any("number 3" in str(one.body) for one in requests):
                self.refused = {*getattr(self, "refused", ()), mark}
                return mark
            return str(await self.desk.create(mark, requests))

        async def look(self, batch: str) -> Any:
            return Stage("invalid", "line 4 is wrong") if batch in self.refused else await self.desk.look(batch)

    await anthropic.open()
    replies = await asyncio.wait_for(anthropic.ask(anthropic.collector(Strict(anthropic)), 6), 60)
    assert [n for n, one in enumerate(replies) if isinstance(one, CallFailure)] == [3]
    assert "line 4 is wrong" in replies[3].message  # type: ignore[union-attr]
    assert len(anthropic.bought()) == 5
