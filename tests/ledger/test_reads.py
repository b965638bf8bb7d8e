"""What people see, and the outbox."""

from __future__ import annotations

import pytest

from bessemer.cluster import ledger as door
from bessemer.cluster.errors import LedgerRefusal
from bessemer.cluster.ledger import Doubt, Ledger, Record, Submit
from tests.ledger._make import Clock, closing, finishing, one, opening, reserving, row, settling


def test_a_run_shows_its_money(opened: Ledger, clock: Clock) -> None:
    opened.apply(
        [
            reserving("k0"),
            settling(cost=40),
            reserving("k1", index=1),
            Doubt(attempt="r|s|1|1", reason="timeout"),
            reserving("k2", index=1),
            settling("r|s|1|2", cost=30),
        ]
    )
    run = opened.run("r")
    assert (run.charged, run.in_doubt, run.calls, run.attempts, run.lost_in_flight) == (170, 100, 2, 3, 1)
    assert (run.status, run.owner, run.epoch, run.pins, run.caps) == (
        "open",
        "a",
        1,
        {"task": "repair"},
        {"run:r": 1000},
    )
    (doubt,) = opened.doubts()
    assert (doubt.attempt, doubt.charge, doubt.reason) == ("r|s|1|1", 100, "timeout")
    assert opened.doubts("r") == [doubt]
    assert opened.doubts("other") == []


def test_a_run_without_calls_costs_nothing(opened: Ledger) -> None:
    run = opened.run("r")
    assert (run.charged, run.in_doubt, run.calls, run.attempts) == (0, 0, 0, 0)


def test_a_run_that_is_not_there_is_named(ledger: Ledger) -> None:
    with pytest.raises(LedgerRefusal, match="no run 'x'"):
        ledger.run("x")
    assert ledger.runs() == ledger.open_runs() == ledger.steps("x") == ledger.calls("x") == ledger.attempts("x") == []


def test_the_newest_runs_come_first(ledger: Ledger, clock: Clock) -> None:
    for name in ("first", "second", "third"):
        one(ledger, opening(name))
        clock.pass_(1)
    one(ledger, closing("done", "second"))
    assert [run.run for run in ledger.runs(2)] == ["third", "second"]
    assert [run.run for run in ledger.open_runs()] == ["third", "first"]


def test_runs_whose_ids_start_alike_are_counted_apart(ledger: Ledger) -> None:
    for name in ("r", "r-1", "r1"):
        ledger.apply([opening(name), reserving("k", name), settling(f"{name}|s|0|1", cost=len(name))])
    assert {run.run: (run.charged, run.calls) for run in ledger.runs()} == {"r": (1, 1), "r-1": (3, 1), "r1": (2, 1)}


def test_attempts_and_steps_are_shown_as_they_stand(opened: Ledger) -> None:
    opened.apply(
        [
            reserving("k0", parked=True, detail={"backend": "scripted/one"}),
            Submit(attempts=("r|s|0|1",), batch="b7"),
            finishing([1, 2], path="done"),
        ]
    )
    (attempt,) = opened.attempts("r")
    assert (attempt.state, attempt.batch, attempt.detail) == ("submitted", "b7", {"backend": "scripted/one"})
    assert (attempt.run, attempt.path, attempt.index, attempt.n) == ("r", "s", 0, 1)
    assert [(step.path, step.done, step.result) for step in opened.steps("r")] == [("done", True, [1, 2])]


def test_the_outbox_is_read_in_order_and_forgotten_up_to_a_number(opened: Ledger) -> None:
    opened.apply([Record(token=f"t{index}", rows=(row(f"n{index}"),)) for index in range(5)])
    assert [seq for seq, _, _ in opened.read_outbox(3)] == [1, 2, 3]
    assert opened.read_outbox(1) == [(1, "calls", '{"name":"n0"}')]
    opened.delete_outbox(2)
    assert [seq for seq, _, _ in opened.read_outbox(10)] == [3, 4, 5]
    opened.delete_outbox(99)
    one(opened, Record(token="t9", rows=(row("n9"),)))
    assert [seq for seq, _, _ in opened.read_outbox(10)] == [6]


def test_each_keeper_has_its_own_outbox_and_numbers(url: str) -> None:
    with Ledger.open(url, keeper="0") as first, Ledger.open(url, keeper="1") as second:
        one(first, Record(token="a", rows=(row("x"),)))
        one(second, Record(token="b", rows=(row("y"), row("z"))))
        assert [text for _, _, text in first.read_outbox(9)] == ['{"name":"x"}']
        assert [seq for seq, _, _ in second.read_outbox(9)] == [1, 2]
        first.delete_outbox(9)
        assert len(second.read_outbox(9)) == 2


def test_the_door_is_what_it_says() -> None:
    assert sorted(door.__all__) == door.__all__
    assert all(hasattr(door, name) for name in door.__all__)
    assert {"Ledger", "GroupCommit", "LedgerClient", "KeeperLock"} <= set(door.__all__)
