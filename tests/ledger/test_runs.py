"""Who holds a run, and how it ends."""

from __future__ import annotations

import pytest

from bessemer.cluster.ledger import BeginStep, CloseRun, Ledger, Record, Release, Renew, SetCap, Submit, Sweep
from tests.ledger._make import (
    Clock,
    closing,
    finishing,
    giving_up,
    observing,
    one,
    opening,
    recalling,
    refused,
    renewing,
    reserving,
    row,
    settling,
    used,
)


def test_a_live_lease_keeps_others_out_until_it_ends(opened: Ledger, clock: Clock) -> None:
    refusal = one(opened, opening(owner="b", token="open-2"))
    assert refused(refusal) == "RunIsOpen"
    assert refusal.facts["owner"] == "a"
    clock.pass_(14)
    assert one(opened, renewing()).lease_seconds == 15
    clock.pass_(14)
    assert refused(one(opened, opening(owner="b", token="open-2"))) == "RunIsOpen"
    clock.pass_(2)
    taken = one(opened, opening(owner="b", token="open-2"))
    assert (taken.epoch, taken.status, taken.resumed) == (2, "open", True)
    assert refused(one(opened, renewing())) == "Fenced"


def test_a_run_is_taken_over_from_an_owner_known_to_be_dead(opened: Ledger) -> None:
    assert one(opened, opening(owner="b", token="open-2", take_over=True)).epoch == 2


def test_the_same_owner_opens_its_run_again_at_once(opened: Ledger) -> None:
    assert one(opened, opening(token="open-2")).epoch == 2


def test_other_pins_are_refused_by_name(opened: Ledger) -> None:
    answer = one(opened, opening(token="open-2", pins={"task": "other", "code": "x"}))
    assert refused(answer) == "RunDiverged"
    assert answer.facts["changed"] == ["code", "task"]


def test_what_was_in_flight_at_a_take_over_is_in_doubt_and_batches_stay(opened: Ledger) -> None:
    opened.apply([reserving(f"k{index}", index=index, parked=index > 0) for index in range(3)])
    one(opened, Submit(attempts=("r|s|2|1",), batch="b"))
    one(opened, opening(owner="b", token="open-2", take_over=True))
    assert [attempt.state for attempt in opened.attempts("r")] == ["in_doubt", "parked", "submitted"]
    assert used(opened) == 300
    assert refused(one(opened, reserving("k9", index=1, epoch=2))) == "Pending"
    assert one(opened, reserving("k9", index=0, epoch=2)).attempt == "r|s|0|2"


@pytest.mark.parametrize("status", ["failed", "cancelled", "budget", "interrupted"])
def test_a_run_that_ended_short_of_done_is_opened_again(opened: Ledger, status: str) -> None:
    one(opened, closing(status))
    assert refused(one(opened, reserving())) == "Closed"
    again = one(opened, opening(owner="b", token="open-2"))
    assert (again.epoch, again.status, again.resumed) == (2, status, True)
    assert one(opened, reserving(epoch=2)).fresh


def test_a_done_run_is_only_replayed(opened: Ledger) -> None:
    one(opened, finishing({"x": 1}))
    one(opened, closing("done"))
    again = one(opened, opening(owner="b", token="open-2"))
    assert (again.epoch, again.status, again.resumed) == (1, "done", True)
    assert one(opened, BeginStep(run="r", path="s", epoch=1)).result == {"x": 1}
    assert refused(one(opened, BeginStep(run="r", path="new", epoch=1))) == "Closed"
    assert refused(one(opened, reserving())) == "Closed"
    assert one(opened, renewing(owner="b")).lease_seconds == 15


def test_a_spent_run_goes_on_after_its_cap_was_raised(opened: Ledger) -> None:
    assert refused(one(opened, reserving(worst=1001))) == "BudgetExhausted"
    one(opened, closing("budget"))
    version = opened.scopes()[0].version
    assert one(opened, SetCap(scope="run:r", cap=2000, version=version + 1)).cap == 2000
    assert one(opened, opening(token="open-2", caps={"run:r": 1000})).status == "budget"
    assert one(opened, reserving(worst=1001, epoch=2)).fresh


def test_closing_ends_what_is_open_and_publishes_once(opened: Ledger) -> None:
    opened.apply([reserving("k0"), reserving("k1", index=1, parked=True)])
    for _ in range(2):
        one(opened, closing("cancelled", rows=(row("run", "runs"),)))
    assert [attempt.state for attempt in opened.attempts("r")] == ["in_doubt", "released"]
    assert used(opened) == 100
    assert len(opened.read_outbox(10)) == 1
    assert opened.run("r").status == "cancelled"


def test_an_interrupted_run_may_still_be_ended_and_an_ended_one_not_interrupted(opened: Ledger) -> None:
    one(opened, closing("interrupted"))
    one(opened, closing("cancelled"))
    one(opened, closing("interrupted"))
    assert opened.run("r").status == "cancelled"


def test_no_run_is_closed_as_open(opened: Ledger) -> None:
    assert refused(one(opened, CloseRun(run="r", epoch=1, status="open"))) == "LedgerRefusal"


def test_an_older_epoch_is_refused_whatever_it_asks(opened: Ledger) -> None:
    one(opened, opening(owner="b", token="open-2", take_over=True))
    stale = [
        reserving(),
        giving_up(),
        finishing(),
        observing(1),
        closing(),
        Renew(run="r", owner="b", epoch=1),
        BeginStep(run="r", path="s", epoch=1),
    ]
    assert [refused(answer) for answer in opened.apply(stale)] == ["Fenced"] * len(stale)
    assert opened.attempts("r") == [] and opened.steps("r") == []


def test_a_run_nobody_opened_is_unknown(ledger: Ledger) -> None:
    unknown = [reserving(), giving_up(), finishing(), observing(1), closing(), renewing(), settling()]
    unknown += [Release(attempt="nonsense", reason=""), BeginStep(run="r", path="s", epoch=1)]
    assert [refused(answer) for answer in ledger.apply(unknown)] == ["LedgerRefusal"] * len(unknown)
    assert not one(ledger, recalling()).found


def test_an_observation_is_stored_once(opened: Ledger) -> None:
    assert not one(opened, recalling()).found
    assert one(opened, observing({"t": 1.5})).value == {"t": 1.5}
    assert one(opened, observing({"t": 2.5})).value == {"t": 1.5}
    assert one(opened, recalling()).value == {"t": 1.5}


def test_a_stored_null_is_known(opened: Ledger) -> None:
    one(opened, observing(None))
    assert one(opened, recalling()).found
    assert one(opened, finishing(None)).done
    assert one(opened, BeginStep(run="r", path="s", epoch=1)).done


def test_a_record_is_published_once(ledger: Ledger) -> None:
    for _ in range(2):
        one(ledger, Record(token="t", rows=(row("x", "events"),)))
    assert [(seq, table) for seq, table, _ in ledger.read_outbox(10)] == [(1, "events")]


def test_caps_change_in_order(ledger: Ledger) -> None:
    assert one(ledger, SetCap(scope="day:1", cap=5, version=1)).version == 1
    assert one(ledger, SetCap(scope="day:1", cap=5, version=1)).version == 1
    assert refused(one(ledger, SetCap(scope="day:1", cap=6, version=1))) == "LedgerRefusal"
    assert refused(one(ledger, SetCap(scope="day:1", cap=6, version=3))) == "LedgerRefusal"
    assert one(ledger, SetCap(scope="day:1", cap=None, version=2)).cap is None
    assert [entry.action for entry in ledger.audit()] == ["set_cap", "set_cap"]


def test_a_lowered_cap_only_stops_new_calls(opened: Ledger) -> None:
    one(opened, reserving())
    one(opened, SetCap(scope="run:r", cap=10, version=2))
    assert refused(one(opened, reserving("k2", index=1, worst=1))) == "BudgetExhausted"
    assert one(opened, settling(cost=90)).value == "yes"
    assert used(opened) == 90


def test_opening_again_keeps_the_caps_that_exist(opened: Ledger) -> None:
    one(opened, opening(token="open-2", caps={"run:r": 5, "queue:q": 7}))
    assert {scope.scope: scope.cap for scope in opened.scopes()} == {"run:r": 1000, "queue:q": 7}
    assert opened.run("r").caps == {"queue:q": 7, "run:r": 1000}


def test_a_clock_that_goes_back_leaves_no_lease_for_hours(opened: Ledger, clock: Clock) -> None:
    clock.pass_(-7200)
    assert one(opened, opening(owner="b", token="open-2")).epoch == 2
    assert refused(one(opened, renewing(owner="a"))) == "Fenced"


def test_a_clock_that_jumps_ahead_costs_no_money(opened: Ledger, clock: Clock) -> None:
    one(opened, reserving())
    clock.pass_(7200)
    assert one(opened, Sweep()).attempts == ("r|s|0|1",)
    assert used(opened) == 100
    one(opened, settling(cost=40))
    assert used(opened) == 40
    clock.pass_(-7200)
    one(opened, reserving(token="k2", index=1))
    assert used(opened) == 140
