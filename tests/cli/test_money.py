"""Spending, doubts and forgetting, as a person asks for them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.ledger import Doubt, Ledger
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command
from tests.ledger._make import closing, opening, reserving, settling

SECRET = "the answer that is to be forgotten"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose ledger knows a run with a settled call of 40 and one in doubt, charged at 200 micro-dollars."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BESSEMER_STATE_DIR", raising=False)
    (tmp_path / ".bessemer" / "runs" / "r").mkdir(parents=True)
    (tmp_path / ".bessemer" / "runs" / "r" / "events.jsonl").write_text("{}\n")
    with Ledger.open(f"sqlite:///{tmp_path / '.bessemer' / 'ledger.db'}") as ledger:
        ledger.apply([opening(pins={"plan": {"task": "repair"}})])
        ledger.apply([reserving("k1"), reserving("k2", index=1, worst=200)])
        ledger.apply([settling(answer=SECRET), Doubt(attempt="r|s|1|1", reason="the host died")])
        ledger.apply([closing("failed")])
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """The records of a command and its words for people."""
    assert _frame.run(list(arguments), command()) == code
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()] if "--json" in arguments else [], err or out


def test_a_doubt_is_shown_and_resolved_once_with_its_evidence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scope,), _ = said(capsys, "budget", "show", "--json")
    assert (scope["scope"], scope["used"], scope["cap"]) == ("run:r", 240, 1000)
    (doubt,), _ = said(capsys, "budget", "doubts", "list", "--json")
    assert (doubt["attempt"], doubt["charge"]) == ("r|s|1|1", 200)
    resolve = ["budget", "doubts", "resolve", doubt["attempt"], "--cost", "0.00015", "--evidence"]
    _, empty = said(capsys, *resolve, " ", code=2)
    assert "--evidence is empty" in empty
    _, early = said(capsys, *resolve, "invoice 7, line 3", code=2)
    assert "may still" in early or "not before" in early, early
    _past_all_billing(folder)
    _, done = said(capsys, *resolve, "invoice 7, line 3", "--by", "ann")
    assert "resolved at $0.0001" in done or "resolved at $0.0002" in done, done
    assert said(capsys, "budget", "doubts", "list", "--json")[0] == []
    again = ["budget", "doubts", "resolve", doubt["attempt"], "--cost", "0.0009", "--evidence", "another invoice"]
    said(capsys, *again, code=2)
    said(capsys, "budget", "doubts", "resolve", "r|s|9|1", "--cost", "0", "--evidence", "none", code=2)
    _, unknown = said(capsys, "budget", "set", "run:nobody", "3", code=2)
    assert "run:nobody" in unknown
    _, done = said(capsys, "budget", "set", "run:r", "0.0001")
    assert "is capped" in done
    (scope,), _ = said(capsys, "budget", "show", "--json")
    assert (scope["used"], scope["cap"]) == (190, 100)


def _past_all_billing(folder: Path) -> None:
    """Set the ledger's record of the attempt back by a day."""
    with sqlite3.connect(folder / ".bessemer" / "ledger.db") as ledger:
        columns = [row[1] for row in ledger.execute("PRAGMA table_info(attempt)")]
        times = [name for name in columns if name.endswith(("_by", "_at", "_until"))]
        ledger.execute(f"UPDATE attempt SET {', '.join(f'{name} = {name} - 86400' for name in times)}")


def test_deleting_a_run_erases_its_answers_and_keeps_its_money(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = folder / ".bessemer" / "ledger.db"
    said(capsys, "run", "delete", "r", "--yes")
    assert not (folder / ".bessemer" / "runs" / "r").exists()
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in ledger.parent.glob("ledger.db*"))
    (row,), _ = said(capsys, "run", "list", "--json")
    assert (row["run"], row["charged"], row["in_doubt"]) == ("r", 240, 200)
    _, shown = said(capsys, "run", "show", "r")
    assert "(deleted)" in shown
    _, gone = said(capsys, "run", "resume", "r", code=2)
    assert "were deleted" in gone
    _, unknown = said(capsys, "run", "delete", "zzz", "--yes", code=2)
    assert "'zzz'" in unknown


def test_pruning_asks_for_a_duration_and_erases_what_is_older(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, wrong = said(capsys, "ledger", "prune", "--older-than", "long", code=2)
    assert "'long'" in wrong
    _, kept = said(capsys, "ledger", "prune", "--older-than", "30d")
    assert "0 runs" in kept
    _, erased = said(capsys, "ledger", "prune", "--older-than", "0.001s")
    assert "1 runs" in erased or "1 run" in erased
    (row,), _ = said(capsys, "run", "list", "--json")
    assert row["charged"] == 240
