"""What a host owes its clients: every ending once, whoever else polls, whatever order messages arrive in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bessemer.actors import _backend_client, _mailboxes
from bessemer.actors._backend_client import BackendClient
from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors._line import LineServer
from bessemer.actors._mailboxes import GROUP, HELD, Mailboxes
from bessemer.actors._polling import Endings, Poll
from bessemer.actors._wire import HostRef, encode
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.home import Home
from bessemer.cluster.ledger.operations import Outcome

from .test_service import call


class Caller:
    """Ends a call when it is told to."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.cancelled: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.answers: dict[int, str] = {}

    def gate(self, index: int) -> asyncio.Event:
        return self.gates.setdefault(index, asyncio.Event())

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        self.asked.append(envelope.index)
        try:
            await self.gate(envelope.index).wait()
        except asyncio.CancelledError:
            self.cancelled.append(envelope.index)
            raise
        return Outcome(kind="answer", value=self.answers.get(envelope.index, envelope.index))

    async def wait_for(self, *indexes: int) -> None:
        while not set(indexes) <= set(self.asked):
            await asyncio.sleep(0)


class Desk:
    """Mailboxes as a client without a network sees them."""

    def __init__(self) -> None:
        self.caller = Caller()
        self.mailboxes = Mailboxes(self.caller)

    def poll(self, *indexes: int, client: str = "c", **given: Any) -> asyncio.Task[Endings]:
        """Send a poll with calls whose number is their index."""
        calls = {index: call(index=index) for index in indexes}
        poll = Poll(client=client, **{"before": 100, "calls": calls, **given})

        async def ask() -> Endings:
            return Endings.model_validate_json(await self.mailboxes.poll(poll.model_dump_json().encode()))

        return asyncio.create_task(ask())

    def end(self, *indexes: int) -> None:
        for index in indexes:
            self.caller.gate(index).set()


def numbers(endings: Endings) -> list[int]:
    return [ending.number for ending in endings.endings]


async def test_endings_go_to_the_poll_that_waits_longest() -> None:
    desk = Desk()
    first, second = desk.poll(1, in_hand=(1,)), desk.poll(2)
    await desk.caller.wait_for(1, 2)
    desk.end(2)
    assert numbers(await first) == [2]
    desk.end(1)
    assert numbers(await second) == [1]


async def test_what_ends_between_two_polls_waits_for_the_next() -> None:
    desk = Desk()
    first = desk.poll(1, 2, in_hand=(1, 2))
    await desk.caller.wait_for(1, 2)
    desk.end(1)
    assert numbers(await first) == [1]
    desk.end(2)
    await asyncio.sleep(0.02)
    assert numbers(await desk.poll()) == [2]


async def test_a_burst_comes_in_groups_and_none_of_it_is_lost() -> None:
    desk = Desk()
    calls = range(3 * GROUP)
    first = desk.poll(*calls, in_hand=tuple(calls))
    await desk.caller.wait_for(*calls)
    desk.end(*calls)
    told = numbers(await first)
    while len(told) < len(calls):
        told += (more := numbers(await desk.poll()))
        assert 0 < len(more) <= GROUP
    assert sorted(told) == list(calls)


async def test_a_client_that_vanished_holds_up_nobody() -> None:
    desk = Desk()
    desk.poll(1, client="vanished", in_hand=(1,))
    other = desk.poll(2, client="other", in_hand=(2,))
    await desk.caller.wait_for(1, 2)
    desk.end(1, 2)
    assert numbers(await other) == [2]


async def test_only_a_few_polls_of_a_client_wait_at_once() -> None:
    desk = Desk()
    polls = [desk.poll(index, in_hand=(0,) if index == 0 else None) for index in range(HELD + 1)]
    assert numbers(await polls[0]) == []
    assert not any(poll.done() for poll in polls[1:])
    desk.end(*range(HELD + 1))
    told = [number for poll in polls for number in numbers(await poll)]
    assert sorted(told) == list(range(HELD + 1))


async def test_a_cancellation_ends_its_call() -> None:
    desk = Desk()
    first = desk.poll(1, 2, in_hand=(1, 2))
    await desk.caller.wait_for(1, 2)
    second = desk.poll(cancelled=(1,))
    desk.end(2)
    assert numbers(await first) == [2]
    assert numbers(await second) == [], "of a cancelled call nothing is told"
    assert desk.caller.cancelled == [1]


async def test_a_cancellation_that_overtakes_its_call_keeps_it_from_being_made() -> None:
    desk = Desk()
    desk.poll(1, in_hand=(1, 2, 3))
    desk.poll(cancelled=(2,))
    desk.poll(2, 3)
    await desk.caller.wait_for(1, 3)
    assert desk.caller.asked == [1, 3]


async def test_a_call_that_is_sent_again_is_made_once_and_told_to_the_new_poll() -> None:
    desk = Desk()
    lost = desk.poll(1, in_hand=(1,))
    await desk.caller.wait_for(1)
    again = desk.poll(1, in_hand=(1,), talk=1)
    assert numbers(await lost) == [], "nobody hears it any more"
    desk.end(1)
    assert numbers(await again) == [1]
    assert desk.caller.asked == [1]


async def test_what_is_not_in_hand_any_more_is_cancelled() -> None:
    desk = Desk()
    desk.poll(1, 2, in_hand=(1, 2))
    await desk.caller.wait_for(1, 2)
    desk.poll(2, in_hand=(2,), talk=1)
    while desk.caller.cancelled != [1]:
        await asyncio.sleep(0)


async def test_what_comes_late_of_an_older_talk_does_nothing() -> None:
    desk = Desk()
    desk.poll(1, in_hand=(1,), talk=1)
    await desk.caller.wait_for(1)
    late = await desk.poll(0, in_hand=(0,), talk=0)
    assert not late.endings
    assert (desk.caller.asked, desk.caller.cancelled) == ([1], [])


async def test_the_first_poll_may_come_after_the_second() -> None:
    """It travels another way; what it did not know of yet is not cancelled by it."""
    desk = Desk()
    desk.poll(0, in_hand=(0,), before=1)
    await desk.caller.wait_for(0)
    desk.poll(2, before=3)
    await desk.caller.wait_for(2)
    desk.poll(1, in_hand=(0, 1), before=2)
    await desk.caller.wait_for(1)
    assert desk.caller.cancelled == []


async def test_a_call_whose_maker_was_cancelled_ends_too() -> None:
    desk = Desk()
    poll = desk.poll(1, in_hand=(1,))
    await desk.caller.wait_for(1)
    desk.mailboxes._boxes["c"]._tasks[1].cancel()
    (ending,) = (await poll).endings
    assert (ending.number, ending.error) == (1, "Cancelled")


async def test_an_answer_that_cannot_be_written_down_fails_alone() -> None:
    desk = Desk()
    desk.caller.answers[1] = "half a pair: \ud800"
    first = desk.poll(1, 2, in_hand=(1, 2))
    await desk.caller.wait_for(1, 2)
    desk.end(1, 2)
    found = {ending.number: ending for ending in (await first).endings}
    assert "cannot be written down" in found[1].message
    assert found[2].outcome is not None


async def test_a_host_says_when_nothing_is_under_way() -> None:
    desk = Desk()
    first = desk.poll(1, in_hand=(1,))
    await desk.caller.wait_for(1)
    desk.end(1)
    assert not (await first).idle
    assert (await desk.poll()).idle


async def test_a_host_that_was_started_anew_says_so() -> None:
    endings = await Desk().poll(1)
    assert endings.stranger
    assert not endings.endings


async def test_a_poll_nobody_can_read_is_told() -> None:
    answer = Endings.model_validate_json(await Mailboxes(Caller()).poll(b'{"client": 1}'))
    assert "client" in answer.fault


async def test_a_poll_comes_back_with_nothing_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mailboxes, "HOLD_SECONDS", 0.05)
    desk = Desk()
    assert numbers(await desk.poll(1, in_hand=(1,))) == []
    desk.end(1)
    assert numbers(await desk.poll()) == [1]


async def test_a_client_that_is_gone_is_forgotten_once_its_calls_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mailboxes, "HOLD_SECONDS", 0.01)
    monkeypatch.setattr(_mailboxes, "GONE_SECONDS", 0.0)
    desk = Desk()
    await desk.poll(1, client="gone", in_hand=(1,))
    await desk.poll(2, client="new", in_hand=(2,))
    assert set(desk.mailboxes._boxes) == {"gone", "new"}, "its call is under way"
    desk.end(1, 2)
    await asyncio.sleep(0.02)
    await desk.poll(3, client="newer", in_hand=(3,))
    assert set(desk.mailboxes._boxes) == {"newer"}


class Host:
    """An actor handle over a line, in this process."""

    def __init__(self) -> None:
        self.caller = Caller()
        self.mailboxes = Mailboxes(self.caller)
        self.begun = 0
        """How often a client told all that it has in hand."""
        self.server = LineServer(self.answer)
        self.alive = self.poll = self.line = self

    async def answer(self, payload: bytes) -> bytes:
        self.begun += Poll.model_validate_json(payload).in_hand is not None
        return await self.mailboxes.poll(payload)

    async def break_lines(self) -> None:
        await self.server.close()
        self.server = LineServer(self.answer)

    async def remote(self, _: bytes = b"") -> bytes:
        return encode({"ok": await self.server.where("127.0.0.1")})


def client_of(host: Host) -> BackendClient:
    home = Home(code="1", state_dir="/s", ledger_url="l", lake_url="k", settings={})
    return BackendClient(home, lambda name: HostRef(name, lambda: host))


async def test_a_line_that_breaks_costs_no_call_and_buys_none_twice() -> None:
    host = Host()
    client = client_of(host)
    work = [asyncio.create_task(client.call(call(index=index))) for index in range(100)]
    await host.caller.wait_for(*range(100))
    await host.break_lines()
    async with asyncio.timeout(20):
        while host.begun < 2:
            await asyncio.sleep(0.01)
        for index in range(100):
            host.caller.gate(index).set()
        ended = await asyncio.gather(*work)
    assert [one.value for one in ended if isinstance(one, Outcome)] == list(range(100))
    assert sorted(host.caller.asked) == list(range(100))
    await host.server.close()


async def test_a_call_cancelled_while_the_host_is_away_is_cancelled_when_it_is_back() -> None:
    host = Host()
    client = client_of(host)
    kept, dropped = (asyncio.create_task(client.call(call(index=index))) for index in range(2))
    await host.caller.wait_for(0, 1)
    await host.break_lines()
    dropped.cancel()
    async with asyncio.timeout(20):
        while host.caller.cancelled != [1]:
            await asyncio.sleep(0.01)
    host.caller.gate(0).set()
    assert isinstance(await kept, Outcome)
    await host.server.close()


async def test_a_call_that_cannot_be_written_down_fails_alone() -> None:
    host = Host()
    client = client_of(host)
    broken = call("\ud800", index=0)
    work = [asyncio.create_task(client.call(one)) for one in (broken, call(index=1), call(index=2))]
    await host.caller.wait_for(1, 2)
    with pytest.raises(ClusterError, match="cannot be sent"):
        await work[0]
    host.caller.gate(1).set()
    host.caller.gate(2).set()
    assert [one.value for one in await asyncio.gather(*work[1:]) if isinstance(one, Outcome)] == [1, 2]
    await host.server.close()


async def test_polls_that_are_lost_without_a_word_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend_client, "HOLD_SECONDS", 0.2)
    host = Host()
    swallowed: list[bytes] = []

    async def swallow(payload: bytes) -> bytes:
        swallowed.append(payload)
        await asyncio.Event().wait()
        return b""

    host.server._answer = swallow
    client = client_of(host)
    work = []
    async with asyncio.timeout(20):
        for index in (0, 1):
            work.append(asyncio.create_task(client.call(call(index=index))))
            while len(swallowed) <= index:
                await asyncio.sleep(0.01)
        host.server._answer = host.answer
        await host.caller.wait_for(0, 1)
        for index in (0, 1):
            host.caller.gate(index).set()
            assert isinstance(await work[index], Outcome)
    assert sorted(host.caller.asked) == [0, 1]
    await host.server.close()


async def at_work() -> tuple[Host, asyncio.Task[Any]]:
    """A host, and one call that it is making."""
    host = Host()
    work = asyncio.create_task(client_of(host).call(call(index=0)))
    await host.caller.wait_for(0)
    return host, work


async def test_a_host_that_lost_a_call_is_asked_for_it_again() -> None:
    host, work = await at_work()
    (box,) = host.mailboxes._boxes.values()
    box._cancel([0])
    async with asyncio.timeout(20):
        while host.caller.asked != [0, 0]:
            await asyncio.sleep(0.01)
        host.caller.gate(0).set()
        assert isinstance(await work, Outcome)
    assert host.begun == 2
    await host.server.close()


async def test_a_cancellation_that_was_lost_with_its_line_is_told_again() -> None:
    host, work = await at_work()
    swallowed = asyncio.Event()

    async def swallow(payload: bytes) -> bytes:
        swallowed.set()
        await asyncio.Event().wait()
        return payload

    host.server._answer = swallow
    work.cancel()
    await swallowed.wait()
    await host.break_lines()
    async with asyncio.timeout(20):
        while host.caller.cancelled != [0]:
            await asyncio.sleep(0.01)
    await host.server.close()
