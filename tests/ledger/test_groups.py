"""One transaction for a whole group: members see each other, and none spoils another."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from bessemer.cluster.errors import LedgerUnavailable
from bessemer.cluster.ledger import Doubt, GroupCommit, Ledger, Reserved, Submit, Sweep
from bessemer.cluster.ledger.operations import Answer, Operation
from tests.ledger._make import (
    closing,
    finishing,
    giving_up,
    observing,
    one,
    opening,
    recalling,
    refused,
    reserving,
    row,
    settling,
    used,
)


def test_members_of_a_group_see_each_others_effects(ledger: Ledger) -> None:
    answers: list[Any] = ledger.apply(
        [
            opening(caps={"run:r": 150}),
            reserving("k1"),
            reserving("k2", index=1),
            settling(cost=40),
            reserving("k2", index=1),
            Doubt(attempt="r|s|1|1", reason="x"),
            reserving("k3", index=1, worst=5),
            finishing({"n": 1}),
            finishing({"n": 2}),
            observing(3),
            recalling(),
            closing("done"),
            reserving("k4", index=2),
        ]
    )
    kinds = [answer.error if answer.is_ == "refusal" else answer.is_ for answer in answers]
    assert kinds == [
        "opened",
        "reserved",
        "BudgetExhausted",
        "outcome",
        "reserved",
        "attempt",
        "reserved",
        "step",
        "JournalDiverged",
        "observed",
        "recalled",
        "done",
        "Closed",
    ]
    assert used(ledger) == 40 + 100 + 5


def test_a_group_and_its_operations_one_by_one_come_to_the_same(url: str, ledger: Ledger, tmp_path: Any) -> None:
    operations: list[Operation] = [opening(caps={"run:r": 500})]
    for index in range(6):
        operations += [reserving(f"k{index}", index=index % 4, parked=index == 3), settling(f"r|s|{index}|1", cost=30)]
    operations += [Submit(attempts=("r|s|3|1",), batch="b"), giving_up(index=3), Sweep(), closing("failed")]
    with Ledger.open(str(tmp_path / "single.db"), clock=lambda: 1_800_000_000.0) as single:
        assert ledger.apply(operations) == [one(single, operation) for operation in operations]
        assert ledger.attempts("r") == single.attempts("r")
        assert ledger.scopes() == single.scopes()


@pytest.mark.parametrize(
    "poison",
    [
        settling("r|s|9|1", answer=float("nan")),
        observing("\ud800", name="p"),
        observing(object(), name="p"),
        observing(1, name="a\x00b"),
        observing(1, run="\ud800"),
        finishing({"deep": float("inf")}),
        Submit(attempts=("\ud800",), batch="b"),
        reserving("x", index=5, detail={"a": {1, 2, object()}}),
        reserving("x", index=5, scopes=("\ud800",)),
        settling("r|s|9|1", rows=(row("\ud800"),)),
        settling("r|s|" + "9" * 40 + "|" + "9" * 40),
        settling("r|s|0|²"),
        closing(rows=(row("x", "\ud800"),)),
    ],
    ids=lambda operation: operation.op,
)
def test_a_member_that_no_database_could_take_fails_alone(opened: Ledger, poison: Operation) -> None:
    one(opened, reserving("k9", index=9))
    before = opened.scopes()
    first, middle, last = opened.apply([observing(1), poison, recalling()])
    assert refused(middle) == "LedgerRefusal"
    assert (first.value, last.value) == (1, 1)
    assert opened.scopes() == before
    assert opened.run("r").status == "open"


def test_an_empty_group_is_nothing(ledger: Ledger) -> None:
    assert ledger.apply([]) == []


async def test_concurrent_callers_share_transactions_and_a_cap(opened: Ledger) -> None:
    """Two hundred callers want 10 of a cap of 1000 each: exactly one hundred get it, in few transactions."""
    counting = _Counting(opened)
    keeper = GroupCommit(counting)
    answers = await asyncio.gather(
        *(keeper.submit([reserving(f"k{index}", index=index, worst=10)]) for index in range(200))
    )
    await keeper.close()
    bought = [answer for (answer,) in answers if isinstance(answer, Reserved)]
    assert len(bought) == len({answer.attempt for answer in bought}) == 100
    assert used(opened) == 1000
    assert counting.groups <= 3
    assert counting.threads == {name for name in counting.threads if name.startswith("ledger")}


async def test_every_caller_gets_its_own_slice(opened: Ledger) -> None:
    keeper = GroupCommit(opened)
    answers: list[list[Any]] = await asyncio.gather(
        *(keeper.submit([observing(index, name=f"n{index}"), recalling(f"n{index}")]) for index in range(50))
    )
    assert [[answer.value for answer in mine] for mine in answers] == [[index, index] for index in range(50)]
    assert await keeper.submit([]) == []
    await keeper.close()


async def test_groups_are_cut_and_a_large_one_goes_alone(opened: Ledger) -> None:
    counting = _Counting(opened)
    keeper = GroupCommit(counting, max_group=10, max_waiting=30)
    large = [observing(0, name=f"l{index}") for index in range(25)]
    jobs = [keeper.submit(large)] + [keeper.submit([observing(index, name=f"n{index}")]) for index in range(40)]
    answers = await asyncio.gather(*jobs)
    assert [len(answer) for answer in answers] == [25] + [1] * 40
    assert max(counting.sizes) == 25
    assert all(size <= 10 for size in counting.sizes if size != 25)
    await keeper.close()


async def test_a_database_that_fails_acknowledges_nothing_and_a_later_try_works(opened: Ledger) -> None:
    failing = _Counting(opened, failures=[LedgerUnavailable("the ledger x does not answer: locked")])
    keeper = GroupCommit(failing)
    answers = await asyncio.gather(
        *(keeper.submit([reserving(f"k{index}", index=index)]) for index in range(5)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [LedgerUnavailable] * 5
    assert used(opened) == 0
    (answer,) = await keeper.submit([reserving("k0")])
    assert isinstance(answer, Reserved)
    await keeper.close()


async def test_an_error_of_ours_hits_only_the_caller_who_brought_it(opened: Ledger) -> None:
    class Broken(_Counting):
        def apply(self, ops: Any) -> list[Answer]:
            if any(op.op == "sweep" for op in ops):
                raise ZeroDivisionError("a bug")
            return super().apply(ops)

    keeper = GroupCommit(Broken(opened))
    answers = await asyncio.gather(
        keeper.submit([observing(1)]), keeper.submit([Sweep()]), keeper.submit([recalling()]), return_exceptions=True
    )
    assert isinstance(answers[1], ZeroDivisionError)
    assert [answers[0][0].value, answers[2][0].value] == [1, 1]  # type: ignore[index, union-attr]
    await keeper.close()


async def test_a_closed_keeper_refuses_and_loses_nothing(opened: Ledger) -> None:
    keeper = GroupCommit(opened)
    last = asyncio.create_task(keeper.submit([observing(1)]))
    await asyncio.sleep(0)
    await keeper.close()
    assert (await last)[0].is_ == "observed"
    with pytest.raises(LedgerUnavailable):
        await keeper.submit([recalling()])


async def test_a_cancelled_caller_does_not_disturb_its_group(opened: Ledger) -> None:
    keeper = GroupCommit(opened)
    impatient = asyncio.create_task(keeper.submit([observing(1)]))
    patient = asyncio.create_task(keeper.submit([recalling()]))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient)[0].value == 1  # type: ignore[union-attr]
    await keeper.close()


async def test_blocking_reads_run_on_the_keepers_thread(opened: Ledger) -> None:
    keeper = GroupCommit(opened)
    assert (await keeper.call(opened.run, "r")).run == "r"
    assert (await keeper.call(lambda: threading.current_thread().name)).startswith("ledger")
    await keeper.close()


class _Counting(Ledger):
    """A real ledger that notes its transactions, and may fail some of them first."""

    def __init__(self, ledger: Ledger, failures: list[Exception] | None = None) -> None:
        self.__dict__.update(ledger.__dict__)
        self.groups, self.sizes, self.failures = 0, list[int](), failures or []
        self.threads: set[str] = set()

    def apply(self, ops: Any) -> list[Answer]:
        self.groups += 1
        self.sizes.append(len(ops))
        self.threads.add(threading.current_thread().name)
        if self.failures:
            raise self.failures.pop()
        return super().apply(ops)
