"""One place where money is spent: what the ledger holds after every way a call can go."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._call_accounting import surely
from bessemer.actors._calls import BudgetRefused, CallEnvelope, RetryPolicy, read_answer
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import BackendSettings, PriceOverride, PriceSettings, ScriptedSettings
from bessemer.cluster.errors import DeadlineExceeded, MissingKey, UnknownBackend, UnpricedModel
from bessemer.cluster.ledger.operations import Outcome, Reserve

from ._memory_ledger import MemoryLedger

PRICED = PriceSettings(overrides={"scripted/*": PriceOverride(input=1, output=1)})  # type: ignore[arg-type]
QUICK = RetryPolicy(attempts=4, seconds=30, base=0.001, longest=0.001)


class House:
    """A service over a scenario, with its ledger and the scenario's own books."""

    def __init__(self, tmp_path: Path, scenario: str, **ledger: Any) -> None:
        path = tmp_path / "scenario.yaml"
        path.write_text(scenario)
        self._books = tmp_path / "books.jsonl"
        self.settings = BackendSettings(
            scripted=ScriptedSettings(scenario=str(path), books=str(self._books)), prices=PRICED
        )
        self.ledger = MemoryLedger(**ledger)
        self.service = self.open()

    def open(self, host: str = "backend/scripted") -> BackendService:
        return BackendService(self.ledger, settings=self.settings, host=host, policy=QUICK)

    @property
    def bought(self) -> list[dict[str, str]]:
        if not self._books.exists():
            return []
        return [json.loads(line) for line in self._books.read_text().splitlines()]


def call(prompt: str = "hi", **changes: Any) -> CallEnvelope:
    request = ModelRequest(backend="scripted/one", prompt=prompt, max_output_tokens=100)
    given: dict[str, Any] = {"run": "r", "path": "s", "index": 0, "epoch": 1, "scopes": ("run:r",), "request": request}
    return CallEnvelope(**{**given, "within": 20.0, **changes})


async def test_a_call_is_reserved_sent_and_settled(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done, usage: {input: 50, output: 7}}")
    ended = await house.service.call(call(persona="guard", persona_content_hash="abc", purpose="compare"))
    assert isinstance(ended, Outcome)
    reply = read_answer(ended)
    assert isinstance(reply, Reply)
    assert (reply.text, ended.cost, house.ledger.used) == ("done", 57, 57)
    reserved = next(op for op in house.ledger.log if isinstance(op, Reserve))
    assert reserved.worst >= 50 + 100
    assert reserved.token.startswith(house.service.instance + ":")
    row = house.ledger.rows[0]
    assert row.table == "calls"
    assert (row.row["persona"], row.row["cost"], row.row["attempts"]) == ("guard", 57, 1)


async def test_a_settled_call_is_never_sent_again(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done}")
    first = await house.service.call(call())
    assert await house.service.call(call()) == first
    assert await house.open().call(call()) == first
    assert len(house.bought) == 1


async def test_the_same_call_asked_for_twice_at_once_is_made_once(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done, latency: 0.02}")
    several = await asyncio.gather(*(house.service.call(call()) for _ in range(5)))
    assert len(set(map(repr, several))) == 1
    assert len(house.bought) == 1


async def test_what_was_certainly_not_billed_is_released_and_tried_again(tmp_path: Path) -> None:
    house = House(
        tmp_path, "rules: [{times: 2, answer: {fail: rate_limited, retry_after: 0.001}}]\ndefault: {text: done}"
    )
    ended = await house.service.call(call())
    assert isinstance(read_answer(ended), Reply)
    assert house.ledger.states() == ["released", "released", "settled"]
    assert isinstance(ended, Outcome)
    assert house.ledger.used == ended.cost
    assert house.ledger.rows[0].row["attempts"] == 3


async def test_what_may_be_billed_stays_charged_and_is_sent_once_more(tmp_path: Path) -> None:
    house = House(tmp_path, "rules: [{times: 1, answer: {fail: timeout}}]\ndefault: {text: done}")
    assert isinstance(read_answer(await house.service.call(call())), Reply)
    assert house.ledger.states() == ["in_doubt", "settled"]
    assert house.ledger.used > house.ledger.attempts["r|s|0|1"].worst


async def test_a_call_lost_twice_is_given_up(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {fail: connection}")
    ended = await house.service.call(call())
    failure = read_answer(ended)
    assert isinstance(failure, CallFailure)
    assert failure.kind == "connection"
    assert isinstance(ended, Outcome)
    assert ended.kind == "failure"
    assert house.ledger.states() == ["in_doubt", "in_doubt"]
    assert await house.open().call(call()) == ended
    assert len(house.bought) == 2


async def test_a_failure_that_no_retry_helps_is_given_up_at_once(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {fail: auth}")
    failure = read_answer(await house.service.call(call()))
    assert isinstance(failure, CallFailure)
    assert failure.kind == "auth"
    assert (house.ledger.states(), house.ledger.used) == (["released"], 0)


@pytest.mark.parametrize("kind", ["malformed_output", "truncated", "refusal"])
async def test_a_billed_answer_of_no_use_is_paid_for_and_is_the_outcome(tmp_path: Path, kind: str) -> None:
    house = House(tmp_path, f"default: {{fail: {kind}, usage: {{input: 30, output: 5}}}}")
    ended = await house.service.call(call())
    failure = read_answer(ended)
    assert isinstance(failure, CallFailure)
    assert failure.kind == kind
    assert (house.ledger.states(), house.ledger.used) == (["settled"], 35)
    assert len(house.bought) == 1


async def test_a_refused_budget_is_no_outcome_and_a_raised_cap_continues(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done}", cap=10)
    ended = await house.service.call(call())
    assert isinstance(ended, BudgetRefused)
    assert (ended.failure.kind, ended.facts["scope"]) == ("budget", "run:r")
    assert not house.bought
    house.ledger.cap = 10_000
    assert isinstance(read_answer(await house.service.call(call())), Reply)


async def test_concurrent_calls_never_pass_the_cap(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done, usage: {input: 900, output: 100}}", cap=20_000)
    every = await asyncio.gather(*(house.service.call(call(index=number)) for number in range(60)))
    assert house.ledger.used <= 20_000
    refused = [ended for ended in every if isinstance(ended, BudgetRefused)]
    assert refused
    assert len(every) - len(refused) == len(house.bought)


async def test_cancelled_after_sending_is_in_doubt(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: late, latency: 60}")
    task = asyncio.create_task(house.service.call(call()))
    while not house.bought:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await house.service.close()
    assert house.ledger.states() == ["in_doubt"]


@pytest.mark.parametrize("heard", [True, False], ids=["after the ledger heard", "before the ledger heard"])
async def test_cancelled_before_sending_is_released(tmp_path: Path, heard: bool) -> None:
    house = House(tmp_path, "default: {text: never}")
    asked = _broken_off(house.ledger, "reserve", heard=heard)
    task = asyncio.create_task(house.service.call(call()))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (house.ledger.states(), house.bought) == (["released"], [])
    await house.service.close()


@pytest.mark.parametrize("heard", [True, False], ids=["after the ledger heard", "before the ledger heard"])
@pytest.mark.parametrize("down", [0, 3])
async def test_what_was_answered_is_booked_though_it_is_cancelled(tmp_path: Path, heard: bool, down: int) -> None:
    house = House(tmp_path, "default: {text: done, usage: {input: 900, output: 100}}")
    asked = _broken_off(house.ledger, "settle", heard=heard)
    task = asyncio.create_task(house.service.call(call()))
    await asked.wait()
    house.ledger.down = down
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.ledger.states() == ["settled"]
    assert len(house.ledger.rows) == 1
    assert isinstance(read_answer(await house.service.call(call())), Reply)
    assert len(house.bought) == 1
    await house.service.close()


async def test_what_is_booked_after_a_cancellation_is_booked_after_a_second_one(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done}")
    asked = _broken_off(house.ledger, "settle", heard=False)
    task = asyncio.create_task(house.service.call(call()))
    await asked.wait()
    house.ledger.down = 3
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while house.ledger.states() != ["settled"]:
        await asyncio.sleep(0.01)


async def test_a_sure_write_is_made_though_its_caller_is_cancelled_twice() -> None:
    begun, room, made = asyncio.Event(), asyncio.Event(), []

    async def write() -> None:
        begun.set()
        await room.wait()
        made.append("")

    task = asyncio.create_task(surely(write))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    room.set()
    async with asyncio.timeout(10):
        while not made:
            await asyncio.sleep(0.01)


async def test_a_restarted_host_doubts_what_its_dead_self_had_in_flight(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done}")
    dead = house.open()
    envelope = call()
    await house.ledger.reserve(
        Reserve(
            run="r",
            path="s",
            index=0,
            request_hash=envelope.request.request_hash(),
            worst=999,
            scopes=("run:r",),
            epoch=1,
            token=f"{dead.instance}:r:s:0:1",
            send_within=30,
        )
    )
    assert isinstance(read_answer(await house.service.call(envelope)), Reply)
    assert house.ledger.states() == ["in_doubt", "settled"]


async def test_another_hosts_attempt_is_waited_for(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done, latency: 0.3}")
    other = house.open("backend/scripted#2")
    first = asyncio.create_task(other.call(call()))
    while not house.bought:
        await asyncio.sleep(0.001)
    assert await house.service.call(call()) == await first
    assert len(house.bought) == 1


async def test_a_restarting_ledger_loses_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done}", down=3)
    ended = await house.service.call(call())
    assert isinstance(read_answer(ended), Reply)
    assert (house.ledger.states(), len(house.bought)) == (["settled"], 1)


async def test_a_call_without_time_left_raises(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {text: done, latency: 5}")
    other = house.open("backend/scripted#2")
    task = asyncio.create_task(other.call(call()))
    while not house.bought:
        await asyncio.sleep(0.001)
    with pytest.raises(DeadlineExceeded):
        await house.service.call(call(within=0.05))
    task.cancel()
    await other.close()


async def test_wrong_backends_spend_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    house = House(tmp_path, "default: {text: done}")
    wrong = (
        ("anthropic/claude-opus-4-6", MissingKey),
        ("openai-compatible/unknown", UnpricedModel),
        ("openai/no-such-model-zz", UnpricedModel),
        ("nobody/x", (UnknownBackend, UnpricedModel)),
    )
    for backend, error in wrong:
        request = ModelRequest(backend=backend, prompt="hi")
        with pytest.raises(error) as caught:
            await house.service.call(call(request=request))
        assert "\n" not in str(caught.value)
    assert not house.ledger.log


async def test_a_refused_key_fails_every_waiting_call_with_the_reason(tmp_path: Path) -> None:
    house = House(tmp_path, "default: {fail: auth, latency: 0.05}")
    first = await house.service.call(call())
    assert isinstance(read_answer(first), CallFailure)
    others = await asyncio.gather(*(house.service.call(call(index=number)) for number in range(1, 20)))
    failures = [read_answer(ended) for ended in others]
    assert {failure.kind for failure in failures if isinstance(failure, CallFailure)} == {"auth"}
    assert house.ledger.states() == ["released"]
    assert isinstance(failures[0], CallFailure)
    assert "refuses the key" in failures[0].message
    await asyncio.sleep(0)
    assert [row.row["kind"] for row in house.ledger.rows if row.table == "events"] == ["breaker_opened"]


async def test_a_key_written_after_the_host_began_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.delenv("OPENAI_API_KEY")
    env = tmp_path / ".env"
    service = BackendService(MemoryLedger(), keys=env)
    with pytest.raises(MissingKey, match="bessemer cluster down"):
        await service._backend("openai/gpt-5.4")
    env.write_text("OPENAI_API_KEY=sk-later\n")
    opened = await service._backend("openai/gpt-5.4")
    await opened.close()


async def test_a_call_that_is_asked_for_while_it_is_being_cancelled_is_made_anew(tmp_path: Path) -> None:
    """A step's work that is replaced asks for the same calls as the one before, whose attempt is still being ended."""
    house = House(tmp_path, "default: {text: done, latency: 0.2}")
    doubt, ending = house.ledger.doubt, asyncio.Event()

    async def slow(operation: Any) -> Any:
        await ending.wait()
        return await doubt(operation)

    house.ledger.doubt = slow  # type: ignore[method-assign]
    first = asyncio.create_task(house.service.call(call()))
    while not house.bought:
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.sleep(0.01)
    again = asyncio.create_task(house.service.call(call()))
    await asyncio.sleep(0.01)
    ending.set()
    assert isinstance(read_answer(await again), Reply)
    assert house.ledger.states() == ["in_doubt", "settled"]
    assert first.cancelled() or await asyncio.wait([first])


def _broken_off(ledger: MemoryLedger, name: str, *, heard: bool) -> asyncio.Event:
    """Let the first operation of that name not come back, and end with its caller; set once it is asked."""
    asked, take = asyncio.Event(), getattr(ledger, name)

    async def stuck(operation: Any, /) -> Any:
        if asked.is_set():
            return await take(operation)
        if heard:
            await take(operation)
        asked.set()
        return await asyncio.get_running_loop().create_future()

    setattr(ledger, name, stuck)
    return asked
