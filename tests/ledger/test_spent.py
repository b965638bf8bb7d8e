"""What a run spent and what is left to it, asked for at every step and so read without its whole history."""

from __future__ import annotations

import pytest

from bessemer.cluster.ledger import Doubt, Ledger, Left, ReadLeft, ReadSpending, SetCap, Spending, Spent
from tests.ledger._make import one, opening, reserving, settling


def by_hand(ledger: Ledger, run: str, path: str) -> Spending:
    steps = path.split("/") if path else []
    mine = [attempt for attempt in ledger.attempts(run) if attempt.path.split("/")[: len(steps)] == steps]
    return Spending(
        calls=len(mine),
        input_tokens=sum(int((attempt.usage or {}).get("input", 0)) for attempt in mine),
        output_tokens=sum(int((attempt.usage or {}).get("output", 0)) for attempt in mine),
        cost=sum(attempt.charge for attempt in mine),
        in_doubt=sum(attempt.charge for attempt in mine if attempt.state == "in_doubt"),
    )


def left(ledger: Ledger, run: str) -> int | None:
    answer = one(ledger, ReadLeft(run=run))
    assert isinstance(answer, Left)
    return answer.left


@pytest.mark.parametrize("path", ["", "round-1", "round-1/build", "round-2", "ronde-é", "s", "none"])
def test_what_is_spent_below_a_step_is_what_its_attempts_say(opened: Ledger, path: str) -> None:
    paths = (
        "round-1/build",
        "round-1/build/agent-1",
        "round-1/build-2",
        "round-10/build",
        "round-2/é",
        "ronde-é/ü",
        "s",
    )
    for index, other in enumerate(paths):
        opened.apply(
            [reserving(f"k{index}", path=other, index=index), settling(f"r|{other}|{index}|1", cost=index + 1)]
        )
    opened.apply([opening("r1"), reserving("x", "r1", path="round-1/build"), reserving("y", path="round-1/z", index=9)])
    opened.apply([Doubt(attempt="r|round-1/z|9|1", reason="timeout")])
    found = one(opened, ReadSpending(run="r", path=path)).spending
    assert found == by_hand(opened, "r", path)
    assert bool(found.calls) == (path != "none")


def test_the_tightest_cap_says_what_is_left(ledger: Ledger) -> None:
    caps = {"run:r": 1000, "day:2026-01-01": 300, "account:open": None}
    ledger.apply([opening("r", caps=caps), opening("other"), opening("free", caps={"run:free": None})])
    ledger.apply([reserving("k", worst=100, scopes=tuple(sorted(caps)))])
    assert left(ledger, "r") == 200
    (day,) = [scope for scope in ledger.scopes() if scope.scope.startswith("day:")]
    one(ledger, SetCap(scope=day.scope, cap=None, version=day.version + 1))
    assert left(ledger, "r") == 900
    assert left(ledger, "other") == 1000
    assert left(ledger, "free") is None
    assert left(ledger, "nobody") is None


def test_runs_are_shown_with_their_own_caps_however_many_there_are(ledger: Ledger) -> None:
    ledger.apply([opening(f"r{number}", caps={f"run:r{number}": number + 1, "day": 7}) for number in range(600)])
    assert all(run.caps == {f"run:{run.run}": int(run.run[1:]) + 1, "day": 7} for run in ledger.runs(1000))
    assert ledger.run("r5").caps == {"run:r5": 6, "day": 7}


def test_what_is_asked_in_a_group_is_answered_with_what_the_group_did_before(opened: Ledger) -> None:
    opened.apply([reserving("k0", worst=100), settling(cost=40)])
    answers = opened.apply(
        [
            ReadLeft(run="r"),
            reserving("k1", path="s/t", index=1, worst=300),
            ReadLeft(run="r"),
            ReadSpending(run="r", path="s"),
            settling("r|s/t|1|1", cost=7),
            ReadSpending(run="r"),
            ReadSpending(run="r", path="s/t"),
            ReadLeft(run="r"),
        ]
    )
    assert [one.left for one in answers if isinstance(one, Left)] == [960, 660, 953]
    assert [one.spending for one in answers if isinstance(one, Spent)] == [
        Spending(calls=2, input_tokens=1, cost=340),
        Spending(calls=2, input_tokens=2, cost=47),
        Spending(calls=1, input_tokens=1, cost=7),
    ]
