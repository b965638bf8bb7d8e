"""Each rule of the ledger that looks redundant, and what would break without it."""

from __future__ import annotations

from bessemer.cluster.ledger import (
    Doubt,
    Ledger,
    Outcome,
    Record,
    Release,
    Reserved,
    Resolve,
    Submit,
)
from tests.ledger._make import (
    Clock,
    finishing,
    giving_up,
    one,
    opening,
    refused,
    reserving,
    row,
    settling,
    used,
)


def test_a_repeated_reserve_with_its_token_is_charged_once(opened: Ledger) -> None:
    first = one(opened, reserving("k1"))
    again = one(opened, reserving("k1"))
    assert (first.fresh, again.fresh) == (True, False)
    assert first.attempt == again.attempt
    assert used(opened) == 100


def test_two_coroutines_on_one_call_do_not_replace_each_others_answer(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    second = one(opened, reserving("k2"))
    assert refused(second) == "Pending"
    assert second.facts["attempt"] == "r|s|0|1"
    assert second.facts["token"] == "k1"
    one(opened, settling(answer="first"))
    assert one(opened, reserving("k2")).value == "first"


def test_a_late_answer_does_not_replace_a_failure_that_was_given_up_on(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    one(opened, Doubt(attempt="r|s|0|1", reason="timeout"))
    assert one(opened, giving_up()).kind == "failure"
    late = one(opened, settling(answer="too late"))
    assert (late.kind, late.value) == ("failure", "no")
    assert one(opened, reserving("k2")).kind == "failure"
    assert used(opened) == 40


def test_a_call_with_an_attempt_in_flight_is_not_given_up(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    assert refused(one(opened, giving_up())) == "Pending"


def test_outbox_numbers_go_on_after_an_empty_outbox_and_a_restart(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        one(ledger, Record(token="t1", rows=(row("a"), row("b"))))
        assert [seq for seq, _, _ in ledger.read_outbox(10)] == [1, 2]
        ledger.delete_outbox(2)
    with Ledger.open(url, clock=clock) as ledger:
        one(ledger, Record(token="t2", rows=(row("c"),)))
        assert [seq for seq, _, _ in ledger.read_outbox(10)] == [3]


def test_nothing_is_resolved_while_a_cut_off_host_may_still_send_it(opened: Ledger, clock: Clock) -> None:
    """A host sends by `send_by` or never; until then and the billing time after it, nothing counts as unspent."""
    one(opened, reserving("k1", send_within=30.0, answer_within=60.0))
    one(opened, Doubt(attempt="r|s|0|1", reason="host lost"))
    resolve = Resolve(attempt="r|s|0|1", cost=0, evidence="console", by="ann")
    clock.pass_(29)
    assert refused(one(opened, resolve)) == "LedgerRefusal"
    clock.pass_(3600)
    assert refused(one(opened, resolve)) == "LedgerRefusal"
    assert used(opened) == 100
    clock.pass_(2)
    assert one(opened, resolve).state == "resolved"
    assert used(opened) == 0


def test_money_of_an_older_epoch_is_booked_before_it_is_fenced(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    one(opened, opening(owner="b", token="open-2", take_over=True))
    assert used(opened) == 100
    assert refused(one(opened, settling(cost=40, epoch=1))) == "Fenced"
    assert used(opened) == 40


def test_a_late_answer_of_an_older_epoch_fills_an_empty_outcome_of_its_request(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    one(opened, opening(owner="b", token="open-2", take_over=True))
    one(opened, reserving("k2", epoch=2))
    one(opened, settling("r|s|0|1", answer="old", epoch=1))
    new = one(opened, settling("r|s|0|2", answer="new", epoch=2))
    assert new.value == "old"
    assert used(opened) == 80


def test_a_late_answer_of_another_request_fills_nothing(opened: Ledger) -> None:
    one(opened, reserving("k1", request_hash="h1"))
    one(opened, Doubt(attempt="r|s|0|1", reason="timeout"))
    one(opened, reserving("k2", request_hash="h2"))
    late = one(opened, settling("r|s|0|1", cost=7, answer="of h1"))
    assert refused(late) == "JournalDiverged"
    assert used(opened) == 107
    assert one(opened, settling("r|s|0|2", cost=5, answer="of h2")).value == "of h2"


def test_truth_after_a_release_is_booked_with_an_alarm(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    one(opened, Release(attempt="r|s|0|1", reason="overloaded"))
    assert used(opened) == 0
    one(opened, settling(cost=30))
    assert used(opened) == 30
    assert opened.attempts("r")[0].state == "settled_late"
    assert [entry.action for entry in opened.audit()] == ["settled_late"]
    assert [table for _, table, _ in opened.read_outbox(10)] == ["events"]


def test_a_batch_is_submitted_once_though_its_acknowledgement_was_lost(opened: Ledger) -> None:
    one(opened, reserving("k1", parked=True))
    first = one(opened, Submit(attempts=("r|s|0|1",), batch="b1"))
    again = one(opened, Submit(attempts=("r|s|0|1",), batch="b1"))
    other = one(opened, Submit(attempts=("r|s|0|1",), batch="b2"))
    assert first.attempts == again.attempts == ("r|s|0|1",)
    assert other.attempts == ()


def test_the_first_outcome_is_the_only_one(opened: Ledger) -> None:
    """A call lost in flight may be bought again; whichever answer is first is what every caller gets."""
    one(opened, reserving("k1"))
    one(opened, Doubt(attempt="r|s|0|1", reason="timeout"))
    one(opened, reserving("k2"))
    assert one(opened, settling("r|s|0|2", answer="second")).value == "second"
    assert one(opened, settling("r|s|0|1", answer="first")).value == "second"
    assert opened.run("r").lost_in_flight == 1
    assert used(opened) == 80


def test_an_opening_repeated_with_an_older_token_is_fenced(opened: Ledger, clock: Clock) -> None:
    assert one(opened, opening(token="open-1")).epoch == 1
    assert one(opened, opening(owner="b", token="open-2", take_over=True)).epoch == 2
    assert refused(one(opened, opening(token="open-1"))) == "Fenced"
    assert one(opened, opening(owner="b", token="open-2")).epoch == 2


def test_a_refused_member_leaves_no_charge_on_the_scopes_before_it(ledger: Ledger) -> None:
    """In every scope or in none: the first scope in order has room, the second has not."""
    one(ledger, opening(caps={"a": 1000, "b": 50}))
    answer = one(ledger, reserving(worst=100, scopes=("b", "a")))
    assert refused(answer) == "BudgetExhausted"
    assert answer.facts == {"scope": "b", "left": 50, "needed": 100, "in_doubt": 0, "cap": 50}
    assert (used(ledger, "a"), used(ledger, "b")) == (0, 0)


def test_a_step_finished_twice_with_another_result_is_found_out(opened: Ledger) -> None:
    assert one(opened, finishing({"a": 1, "b": 2}, rows=(row("x"),))).result == {"a": 1, "b": 2}
    assert one(opened, finishing({"b": 2, "a": 1}, rows=(row("x"),))).result == {"a": 1, "b": 2}
    assert refused(one(opened, finishing({"a": 2}))) == "JournalDiverged"
    assert len(opened.read_outbox(10)) == 1


def test_a_repeated_settle_pays_once_and_publishes_once(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    first = one(opened, settling(rows=(row("x"),)))
    again = one(opened, settling(rows=(row("x"),)))
    assert isinstance(first, Outcome)
    assert first == again
    assert used(opened) == 40
    assert len(opened.read_outbox(10)) == 1


def test_reserved_by_its_own_token_after_a_lost_answer_tells_the_state(opened: Ledger) -> None:
    one(opened, reserving("k1"))
    one(opened, Doubt(attempt="r|s|0|1", reason="timeout"))
    again = one(opened, reserving("k1"))
    assert isinstance(again, Reserved)
    assert (again.state, again.fresh) == ("in_doubt", False)
