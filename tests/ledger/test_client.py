"""The client: batches, typed answers, errors by name, and patience."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bessemer.cluster.errors import BudgetExhausted, Fenced, LedgerRefusal, LedgerUnavailable, Pending
from bessemer.cluster.ledger import (
    BeginStep,
    Doubt,
    GroupCommit,
    Ledger,
    LedgerClient,
    Outcome,
    Record,
    Release,
    Reserved,
    Resolve,
    SetCap,
    Submit,
)
from bessemer.cluster.ledger.operations import answers_json, operations_json
from tests.ledger._make import (
    Clock,
    closing,
    finishing,
    giving_up,
    observing,
    opening,
    recalling,
    renewing,
    reserving,
    row,
    settling,
    used,
)


class Wire:
    """A way to a keeper that speaks JSON, counts its messages, and may lose some, before or after the commit."""

    def __init__(self, ledger: Ledger) -> None:
        self.keeper = GroupCommit(ledger)
        self.messages: list[int] = []
        self.lose_before, self.lose_after = 0, 0
        self.error: Exception = ConnectionError("lost")

    async def send(self, message: bytes) -> bytes:
        operations = operations_json.validate_json(message)
        self.messages.append(len(operations))
        if self.lose_before:
            self.lose_before -= 1
            raise self.error
        answers = await self.keeper.submit(operations)
        if self.lose_after:
            self.lose_after -= 1
            raise self.error
        return answers_json.dump_json(answers)


@pytest.fixture
async def wire(ledger: Ledger) -> AsyncIterator[Wire]:
    made = Wire(ledger)
    yield made
    await made.keeper.close()


@pytest.fixture(params=["json", "local"])
def client(request: Any, wire: Wire) -> LedgerClient:
    return LedgerClient(wire.send) if request.param == "json" else LedgerClient.local(wire.keeper)


async def test_every_operation_answers_with_its_own_type(client: LedgerClient, clock: Clock) -> None:
    opened = await client.open_run(opening(caps={"run:r": 1000}))
    assert (opened.epoch, opened.resumed) == (1, False)
    assert (await client.renew(renewing())).lease_seconds == 15
    assert not (await client.begin_step(BeginStep(run="r", path="s", epoch=1))).done
    reserved = await client.reserve(reserving())
    assert isinstance(reserved, Reserved) and reserved.fresh
    assert (await client.settle(settling(answer={"x": 1}))).value == {"x": 1}
    assert isinstance(await client.reserve(reserving("k2")), Outcome)
    await client.reserve(reserving("k3", index=1, parked=True))
    assert (await client.submit(Submit(attempts=("r|s|1|1",), batch="b"))).attempts == ("r|s|1|1",)
    assert (await client.doubt(Doubt(attempt="r|s|1|1", reason="lost"))).state == "in_doubt"
    assert (await client.sweep()).attempts == ()
    clock.pass_(90_000)
    resolved = await client.resolve(Resolve(attempt="r|s|1|1", cost=3, evidence="invoice", by="ann"))
    assert (resolved.state, resolved.charge) == ("resolved", 3)
    assert (await client.give_up(giving_up(index=1))).kind == "failure"
    await client.reserve(reserving("k4", index=2))
    assert (await client.release(Release(attempt="r|s|2|1", reason="429"))).charge == 0
    assert (await client.observe(observing(5))).value == 5
    assert (await client.recall(recalling())).found
    assert (await client.finish_step(finishing("x"))).result == "x"
    await client.record(Record(token="t", rows=(row("x"),)))
    assert (await client.set_cap(SetCap(scope="run:r", cap=5, version=2))).used == 43
    await client.close_run(closing())


@pytest.mark.parametrize("lost", ["", "lose_before", "lose_after"])
async def test_a_settled_answer_is_the_same_with_and_without_its_echo(wire: Wire, lost: str) -> None:
    client = LedgerClient(wire.send)
    await client.open_run(opening())
    outcomes = []
    for index, echo in enumerate((True, False)):
        await client.reserve(reserving(f"k{index}", index=index))
        if lost:
            setattr(wire, lost, 1)
        outcomes.append(await client.settle(settling(f"r|s|{index}|1", answer={"x": [1, "ü", None]}, echo=echo)))
        assert outcomes[-1] == await client.reserve(reserving("again", index=index))
    assert outcomes[0] == outcomes[1]


async def test_a_refusal_is_raised_as_the_error_of_its_name_with_its_facts(client: LedgerClient) -> None:
    await client.open_run(opening())
    await client.reserve(reserving())
    with pytest.raises(Pending) as pending:
        await client.reserve(reserving("k2"))
    assert pending.value.facts["attempt"] == "r|s|0|1"
    with pytest.raises(BudgetExhausted) as exhausted:
        await client.reserve(reserving("k3", index=1, worst=901))
    assert (exhausted.value.facts["left"], exhausted.value.exit_code) == (900, 4)
    with pytest.raises(Fenced):
        await client.reserve(reserving("k4", epoch=0))


async def test_one_turn_is_one_message(wire: Wire) -> None:
    client = LedgerClient(wire.send)
    await client.open_run(opening())
    await asyncio.gather(*(client.observe(observing(index, name=f"n{index}")) for index in range(50)))
    assert wire.messages == [1, 50]


@pytest.mark.parametrize("error", [ConnectionError("reset"), LedgerUnavailable("restarting")])
@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
async def test_a_lost_message_or_acknowledgement_is_asked_again(
    wire: Wire, ledger: Ledger, lost: str, error: Exception
) -> None:
    client = LedgerClient(wire.send)
    await client.open_run(opening())
    setattr(wire, lost, 3)
    wire.error = error
    reserved = await client.reserve(reserving())
    assert isinstance(reserved, Reserved)
    assert reserved.fresh == (lost == "lose_before")
    assert len(wire.messages) == 5
    assert used(ledger) == 100


async def test_patience_has_an_end(wire: Wire) -> None:
    wire.lose_before = 10**9
    with pytest.raises(LedgerUnavailable, match="lost"):
        await LedgerClient(wire.send, patience=0.2).open_run(opening())


async def test_a_keeper_that_says_nothing_is_waited_for_no_longer_than_the_patience() -> None:
    async def silence(_message: bytes) -> bytes:
        await asyncio.sleep(3600)
        return b"[]"

    with pytest.raises(LedgerUnavailable, match="did not answer within"):
        await LedgerClient(silence, patience=0.1).open_run(opening())


async def test_an_answer_of_another_kind_or_number_is_not_believed() -> None:
    async def nonsense(_message: bytes) -> bytes:
        return b'[{"is_":"done"}]'

    async def nothing(_message: bytes) -> bytes:
        return b"[]"

    with pytest.raises(LedgerUnavailable, match="another version"):
        await LedgerClient(nonsense).open_run(opening())
    with pytest.raises(LedgerUnavailable, match="0 answers"):
        await LedgerClient(nothing).open_run(opening())


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


async def test_a_value_that_is_no_json_fails_its_own_caller(client: LedgerClient) -> None:
    await client.open_run(opening())
    bad = [float("nan"), "\ud800", object()]
    answers = await asyncio.gather(
        client.observe(observing(1)),
        *(client.observe(observing(value, name="bad")) for value in bad),
        client.observe(observing(2, name="other")),
        return_exceptions=True,
    )
    assert [type(answer).__name__ for answer in answers] == ["Observed", *["LedgerRefusal"] * 3, "Observed"]


async def test_a_value_nested_too_deeply_for_the_wire_fails_its_own_caller(wire: Wire) -> None:
    client = LedgerClient(wire.send, patience=1)
    await client.open_run(opening())
    assert (await client.observe(observing(_nested(180), name="deep"))).value == _nested(180)
    with pytest.raises(LedgerRefusal):
        await client.observe(observing(_nested(230), name="deeper"))


async def test_a_deep_value_is_read_back_as_it_was(ledger: Ledger, wire: Wire) -> None:
    client = LedgerClient.local(wire.keeper)
    await client.open_run(opening())
    assert (await client.observe(observing(_nested(240)))).value == _nested(240)


async def test_a_cancelled_caller_leaves_the_others_alone(client: LedgerClient) -> None:
    await client.open_run(opening())
    impatient = asyncio.create_task(client.observe(observing(1)))
    patient = asyncio.create_task(client.recall(recalling()))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).value == 1
    with pytest.raises(asyncio.CancelledError):
        await impatient


def test_messages_survive_the_wire_unchanged() -> None:
    sent = [reserving(detail={"a": [1, None]}), settling(answer={"é": 1.5}), observing(0)]
    assert operations_json.validate_json(operations_json.dump_json(sent)) == sent
    assert json.loads(operations_json.dump_json(sent))[0]["op"] == "reserve"
