"""What may be forgotten, and what never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bessemer.cluster.errors import LedgerRefusal, RunIsOpen
from bessemer.cluster.ledger import Doubt, Ledger
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
    reserving,
    settling,
    used,
)

SECRET = "the-answer-nobody-may-read"


def work(ledger: Ledger, run: str, status: str = "done") -> None:
    """A run with everything a run can remember, ended as `status`."""
    caps = {f"run:{run}": 1000, "queue:q": 5000}
    ledger.apply(
        [
            opening(run, caps=caps, pins={"task": SECRET}),
            reserving("k0", run, 0, scopes=(f"run:{run}", "queue:q")),
            settling(f"{run}|s|0|1", cost=40, answer=SECRET),
            reserving("k1", run, 1),
            Doubt(attempt=f"{run}|s|1|1", reason="timeout"),
            giving_up(run, 1, failure=SECRET),
            reserving("k2", run, 2),
            observing(SECRET, run=run),
            finishing(SECRET, run=run),
            closing(status, run),
        ]
    )


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_nothing_erased_is_left_in_the_files(file_url: str, clock: Clock, tmp_path: Path) -> None:
    with Ledger.open(file_url, clock=clock) as ledger:
        work(ledger, "r")
        assert SECRET.encode() in bytes_of(tmp_path / "state")
        ledger.delete_run("r")
        assert SECRET.encode() not in bytes_of(tmp_path / "state")


def test_a_deleted_run_keeps_its_money_and_nothing_else(ledger: Ledger) -> None:
    work(ledger, "r")
    money, before = [row.charge for row in ledger.attempts("r")], ledger.scopes()
    ledger.delete_run("r", by="ann")
    assert [row.charge for row in ledger.attempts("r")] == money == [40, 100, 100]
    assert ledger.scopes() == before
    run = ledger.run("r")
    assert (run.status, run.charged, run.calls, run.pins, run.erased) == ("done", 240, 2, {}, True)
    assert [call.value for call in ledger.calls("r")] == [None, None]
    assert [step.result for step in ledger.steps("r")] == [None]
    assert not one(ledger, recalling()).found
    entry = ledger.audit()[0]
    assert (entry.action, entry.subject, entry.by) == ("delete_run", "r", "ann")


def test_a_deleted_run_cannot_be_resumed(ledger: Ledger) -> None:
    work(ledger, "r", "interrupted")
    ledger.delete_run("r")
    answer = one(ledger, opening(token="open-2", pins={"task": SECRET}))
    assert refused(answer) == "RunDiverged"
    assert "erased" in answer.message
    assert ledger.run("r").status == "cancelled"


def test_a_late_answer_to_a_deleted_run_is_paid_and_not_kept(ledger: Ledger) -> None:
    work(ledger, "r")
    ledger.delete_run("r")
    assert refused(one(ledger, settling("r|s|2|1", cost=7, answer=SECRET))) == "Fenced"
    assert used(ledger) == 147
    assert all(call.value is None for call in ledger.calls("r"))


def test_a_run_in_hand_is_not_deleted(opened: Ledger, clock: Clock) -> None:
    with pytest.raises(RunIsOpen, match="run cancel"):
        opened.delete_run("r")
    clock.pass_(16)
    one(opened, reserving())
    opened.delete_run("r")
    assert refused(one(opened, reserving("k2", index=1))) == "Fenced"
    assert opened.attempts("r")[0].state == "in_doubt"


def test_an_unknown_run_is_not_deleted_and_a_deleted_one_not_twice(ledger: Ledger) -> None:
    with pytest.raises(LedgerRefusal, match="no run 'x'"):
        ledger.delete_run("x")
    work(ledger, "r")
    ledger.delete_run("r")
    ledger.delete_run("r")
    assert len(ledger.audit()) == 1


def test_pruning_takes_what_ended_long_ago_and_keeps_its_money(ledger: Ledger, clock: Clock) -> None:
    work(ledger, "old")
    work(ledger, "old|2".replace("|", "-"), "failed")
    work(ledger, "paused", "interrupted")
    clock.pass_(1000)
    work(ledger, "new")
    before = ledger.scopes()
    assert ledger.prune(500, by="cron") == 2
    assert ledger.prune(500) == 0
    assert {row.run: row.erased for row in ledger.runs(10)} == {
        "old": True,
        "old-2": True,
        "paused": False,
        "new": False,
    }
    assert ledger.scopes() == before
    assert ledger.calls("new")[0].value == SECRET
    (entry,) = ledger.audit()
    assert (entry.action, entry.by, entry.detail["runs"]) == ("prune", "cron", ["old", "old-2"])


def test_a_run_whose_id_starts_like_another_is_not_touched(ledger: Ledger) -> None:
    work(ledger, "r")
    work(ledger, "r1")
    ledger.delete_run("r")
    assert ledger.calls("r1")[0].value == SECRET
    assert ledger.run("r1").pins == {"task": SECRET}
