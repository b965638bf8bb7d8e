"""The states of an attempt, one transition at a time."""

from __future__ import annotations

from typing import Any

import pytest

from bessemer.cluster.ledger import Doubt, Ledger, Outcome, Release, Resolve, Submit, Sweep
from bessemer.cluster.ledger.operations import AsGiven
from bessemer.cluster.records import TABLES
from tests.ledger._make import Clock, giving_up, one, opening, refused, reserving, row, settling, used

A = "r|s|0|1"
SETTLE = settling()
RELEASE = Release(attempt=A, reason="503")
DOUBT = Doubt(attempt=A, reason="timeout")
SUBMIT = Submit(attempts=(A,), batch="b")
RESOLVE = Resolve(attempt=A, cost=7, evidence="invoice 3", by="ann")
PARKED, LIVE = reserving(parked=True), reserving()
LONG = 100_000.0

PATHS: list[tuple[list[Any], str, int]] = [
    ([LIVE], "reserved", 100),
    ([PARKED], "parked", 100),
    ([PARKED, SUBMIT], "submitted", 100),
    ([LIVE, SUBMIT], "reserved", 100),
    ([LIVE, SETTLE], "settled", 40),
    ([PARKED, SETTLE], "settled", 40),
    ([PARKED, SUBMIT, SETTLE], "settled", 40),
    ([LIVE, RELEASE], "released", 0),
    ([PARKED, RELEASE], "released", 0),
    ([PARKED, SUBMIT, RELEASE], "released", 0),
    ([LIVE, DOUBT], "in_doubt", 100),
    ([PARKED, DOUBT], "parked", 100),
    ([PARKED, SUBMIT, DOUBT], "in_doubt", 100),
    ([LIVE, DOUBT, SETTLE], "settled_late", 40),
    ([LIVE, DOUBT, RELEASE], "released", 0),
    ([LIVE, DOUBT, LONG, RESOLVE], "resolved", 7),
    ([PARKED, SUBMIT, DOUBT, LONG, RESOLVE], "resolved", 7),
    ([LIVE, DOUBT, LONG, RESOLVE, SETTLE], "settled_late", 40),
    ([LIVE, RELEASE, SETTLE], "settled_late", 40),
    ([LIVE, SETTLE, RELEASE], "settled", 40),
    ([LIVE, SETTLE, DOUBT], "settled", 40),
    ([LIVE, RELEASE, DOUBT], "released", 0),
    ([LIVE, LONG, RESOLVE], "reserved", 100),
    ([LIVE, SETTLE, LONG, RESOLVE], "settled", 40),
    ([LIVE, RELEASE, SUBMIT], "released", 0),
    ([LIVE, LONG, Sweep()], "in_doubt", 100),
    ([PARKED, LONG, Sweep()], "parked", 100),
    ([PARKED, SUBMIT, LONG, Sweep()], "submitted", 100),
]


def _name(path: tuple[list[Any], str, int]) -> str:
    return "-".join(getattr(step, "op", "wait") for step in path[0]) + "-" + path[1]


@pytest.mark.parametrize("path", PATHS, ids=_name)
@pytest.mark.parametrize("repeated", [1, 2])
def test_each_way_through_the_states(
    opened: Ledger, clock: Clock, path: tuple[list[Any], str, int], repeated: int
) -> None:
    """Where an attempt ends and what it is charged; each step done twice changes nothing more."""
    steps, state, charge = path
    for step in steps:
        for _ in range(1 if isinstance(step, float) else repeated):
            clock.pass_(step) if isinstance(step, float) else one(opened, step)
    (attempt,) = opened.attempts("r")
    assert (attempt.state, attempt.charge) == (state, charge)
    assert used(opened) == charge
    assert opened.scopes()[0].in_doubt == (charge if state == "in_doubt" else 0)


def test_a_batch_is_resolved_only_a_day_after_its_submission(opened: Ledger, clock: Clock) -> None:
    opened.apply([PARKED, SUBMIT, DOUBT])
    clock.pass_(86_399)
    assert refused(one(opened, RESOLVE)) == "LedgerRefusal"
    clock.pass_(1)
    assert one(opened, RESOLVE).charge == 7
    entry = opened.audit()[0]
    assert (entry.action, entry.by, entry.subject) == ("resolve", "ann", A)
    assert entry.detail == {"evidence": "invoice 3", "was_charged": 100, "cost": 7}


def test_the_sweep_waits_for_the_longest_answer(opened: Ledger, clock: Clock) -> None:
    one(opened, reserving(send_within=30, answer_within=300))
    clock.pass_(330)
    assert one(opened, Sweep()).attempts == ()
    clock.pass_(1)
    assert one(opened, Sweep()).attempts == (A,)
    assert one(opened, Sweep()).attempts == ()


def test_a_refusal_says_what_is_left_needed_and_in_doubt(opened: Ledger) -> None:
    opened.apply([reserving(worst=600), DOUBT])
    answer = one(opened, reserving("k2", index=1, worst=500))
    assert refused(answer) == "BudgetExhausted"
    assert answer.facts == {"scope": "run:r", "left": 400, "needed": 500, "in_doubt": 600, "cap": 1000}
    assert "budget doubts" in answer.message


def test_a_scope_without_an_account_is_refused(opened: Ledger) -> None:
    assert refused(one(opened, reserving(scopes=("run:r", "misspelt")))) == "LedgerRefusal"
    assert used(opened) == 0


def test_every_scope_is_charged_once_though_named_twice(ledger: Ledger) -> None:
    one(ledger, opening(caps={"a": 500, "b": None}))
    one(ledger, reserving(scopes=("a", "b", "a")))
    assert (used(ledger, "a"), used(ledger, "b")) == (100, 100)


def test_what_is_free_is_bought_at_the_edge_of_the_cap(opened: Ledger) -> None:
    assert one(opened, reserving("k1", worst=1000)).fresh
    assert one(opened, reserving("k2", index=1, worst=0)).fresh
    assert refused(one(opened, reserving("k3", index=2, worst=1))) == "BudgetExhausted"


def test_another_request_for_a_call_in_flight_or_answered_diverges(opened: Ledger) -> None:
    one(opened, LIVE)
    assert refused(one(opened, reserving("k2", request_hash="other"))) == "JournalDiverged"
    one(opened, SETTLE)
    assert refused(one(opened, reserving("k2", request_hash="other"))) == "JournalDiverged"


def test_a_failure_given_up_before_any_attempt_is_the_outcome_of_whatever_is_asked(opened: Ledger) -> None:
    one(opened, giving_up(failure={"kind": "unpriced"}))
    assert one(opened, LIVE).value == {"kind": "unpriced"}


def test_rows_of_an_answer_that_did_not_become_the_outcome_are_not_published(opened: Ledger) -> None:
    opened.apply([LIVE, DOUBT, giving_up(rows=(row("failed"),)), settling(rows=(row("late"),))])
    assert [text for _, _, text in opened.read_outbox(10)] == ['{"name":"failed"}']


def test_an_alarm_is_an_event_the_lake_takes(opened: Ledger) -> None:
    import json

    opened.apply([LIVE, RELEASE, SETTLE])
    ((_, table, text),) = opened.read_outbox(10)
    record = TABLES[table].model_validate(json.loads(text))
    assert (record.run, record.path) == ("r", "s")


def test_paths_with_bars_stay_apart(opened: Ledger) -> None:
    """Only the run's id may not contain the separator."""
    opened.apply([reserving("k1", path="a|0", index=1), reserving("k2", path="a", index=1)])
    assert {(row.path, row.index) for row in opened.attempts("r")} == {("a", 1), ("a|0", 1)}


def test_an_answer_comes_back_as_it_was_given(opened: Ledger) -> None:
    answer = {"z": [1, 2.5, None, True], "a": "grüße 🔥", "deep": {"NaN": "NaN is a text"}}
    one(opened, LIVE)
    assert one(opened, settling(answer=answer)).value == answer
    again = one(opened, reserving("k2"))
    assert again.value == answer
    assert list(again.value) == ["z", "a", "deep"]
    assert (again.cost, again.usage) == (40, {"input": 1})


def test_an_answer_is_spared_its_way_back_only_where_it_became_the_outcome_now(opened: Ledger) -> None:
    quiet = settling(answer="mine", echo=False)
    one(opened, LIVE)
    assert one(opened, quiet) == AsGiven()
    again = one(opened, quiet)
    assert isinstance(again, Outcome)
    assert (again.value, again.cost, again.usage) == ("mine", quiet.cost, quiet.usage)


def test_who_brings_an_answer_late_is_told_the_outcome_though_he_wants_no_echo(opened: Ledger) -> None:
    opened.apply([LIVE, DOUBT, giving_up(failure="gave up")])
    told = one(opened, settling(answer="gave up", echo=False))
    assert isinstance(told, Outcome)
    assert (told.kind, told.value, told.cost) == ("failure", "gave up", 0)
