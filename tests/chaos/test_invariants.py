"""Every check of `make chaos` can fail: books that tell of a run that went well are doctored, and are found out."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.lake import Lake, Publisher
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.prices import PriceBook
from bessemer.cluster.records import CallRecord
from chaos import processes
from chaos.evidence import Evidence, from_lake, from_ledger, price_of, rows_of
from chaos.invariants import INVARIANTS, complaints
from tests.lake._outbox import Outbox
from tests.ledger._make import closing, finishing, one, opening, reserving, settling

CALLS = 3
SCOPE = "account:a"
USAGE = {"input": 1000, "output": 200}


class Books:
    """A ledger, a lake and a vendor's books of one run in a folder, all right at first."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ledger.db"
        self._lake = str(folder / "lake")
        self._outbox = Outbox()
        self.served = [
            {"key": f"r|s|{index}|1", "vendor": "anthropic", "model": "claude-opus-4-6", "billed": True, "usage": USAGE}
            for index in range(CALLS)
        ]
        self.price = price_of(self.served[0], PriceBook())
        with self.ledger() as ledger:
            one(ledger, opening(caps={"run:r": None, SCOPE: CALLS * self.price}))
            for index in range(CALLS):
                scopes = ("run:r", SCOPE)
                one(ledger, reserving(f"k{index}", index=index, worst=self.price, scopes=scopes))
                one(ledger, settling(f"r|s|{index}|1", cost=self.price))
                self.row(index)
            one(ledger, finishing())
            one(ledger, closing())

    def ledger(self) -> Ledger:
        return Ledger.open(f"sqlite:///{self._file}")

    def row(self, index: int) -> None:
        """Put a call's row on its way to the lake."""
        record = CallRecord(run="r", path="s", index=index, attempt=f"r|s|{index}|1").to_lake()
        self._outbox.put(record.table, record.row)

    def end(self, second: int) -> None:
        """Put an end that a cap made on its way to the lake."""
        row = {"run": "r", "path": "", "at": f"2026-01-01T00:00:0{second}+00:00", "ending": "budget"}
        self._outbox.put("runs", row)

    def doctor(self, statement: str) -> None:
        """Change the ledger behind its back."""
        with sqlite3.connect(self._file) as connection:
            assert connection.execute(statement).rowcount > 0

    async def seen(self, **others: Any) -> Evidence:
        publisher = Publisher(self._lake, "ledger", "0", self._outbox, {})
        while await publisher.publish_once():
            continue
        with self.ledger() as ledger:
            books = from_ledger(ledger, ["r"])
        lake = from_lake(Lake(self._lake), ["r"])
        total = CALLS * self.price
        found = Evidence(
            scope=SCOPE,
            cap=total,
            used_under_cap=total,
            billed_under_cap=total,
            lake=lake,
            served=self.served,
            results={"r": ["passed", 1]},
            expected={"r": ["passed", 1]},
            expected_rows={"r": {("calls", "s", str(index)) for index in range(CALLS)}},
            **books,
        )
        return dataclasses.replace(found, **others)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


async def test_books_that_are_right_please_every_check(books: Books) -> None:
    seen = await books.seen()
    assert complaints(seen) == {}
    assert rows_of(seen.lake["r"]) == seen.expected_rows["r"]


async def test_a_run_that_a_cap_stopped_in_two_epochs_has_two_ends_and_no_more(books: Books) -> None:
    books.doctor("UPDATE run SET epoch = 2")
    books.end(1)
    books.end(2)
    rows = {"expected_rows": {"r": {*(("calls", "s", str(index)) for index in range(CALLS)), ("runs", "", "")}}}
    assert complaints(await books.seen(**rows)) == {}
    books.end(3)
    assert "ended 3 times in 2 epochs" in str(complaints(await books.seen(**rows)))
    books.end(3)
    assert "has 2 rows runs" in str(complaints(await books.seen(**rows)))


DOCTORED: list[tuple[str, str, Callable[[Books], object]]] = [
    ("cap held", "add up to", lambda books: books.doctor("UPDATE scope SET used = used - 1 WHERE name LIKE 'acc%'")),
    ("cap held", "add up to", lambda books: books.doctor("UPDATE attempt SET charge = charge + 1 WHERE n = 1")),
    ("bought once", "was sent 2 times", lambda books: books.served.append(books.served[0])),
    ("bought once", "never reserved", lambda books: books.served.append({**books.served[0], "key": "r|s|9|1"})),
    (
        "bought once",
        "bought again after it was settled",
        lambda books: books.doctor(
            "INSERT INTO attempt SELECT call, 2, run, token || 'x', request_hash, scopes, worst, charge, state, epoch, "
            "reserved_at, send_by, deadline, batch, submitted_at, doubted_at, ended_at, usage, reason, detail "
            "FROM attempt WHERE call LIKE '%|0'"
        ),
    ),
    ("bought once", "is still reserved", lambda books: books.doctor("UPDATE attempt SET state = 'reserved'")),
    (
        "charges cover bills",
        "was billed",
        lambda books: books.doctor("UPDATE attempt SET charge = charge - 1 WHERE call LIKE '%|1'"),
    ),
    (
        "charges cover bills",
        "answers as lost",
        lambda books: books.doctor("UPDATE attempt SET state = 'in_doubt' WHERE call LIKE '%|1'"),
    ),
    ("rows once", "has 2 rows", lambda books: books.row(1)),
    ("rows once", "in the lake alone", lambda books: books.row(7)),
    ("rows once", "too much", lambda books: books.row(7)),
    ("rows once", "in the lake alone", lambda books: books.doctor("DELETE FROM call WHERE id LIKE '%|2'")),
    (
        "rows once",
        "not left for the lake",
        lambda books: books.doctor("INSERT INTO outbox VALUES ('0', 9, 'calls', '{}')"),
    ),
    ("all ended", "unfinished step", lambda books: books.doctor("UPDATE step SET state = 'open'")),
    ("all ended", "is interrupted", lambda books: books.doctor("UPDATE run SET status = 'interrupted'")),
]


@pytest.mark.parametrize(
    ("invariant", "words", "doctor"), DOCTORED, ids=lambda one: one if isinstance(one, str) else ""
)
async def test_doctored_books_are_found_out(
    books: Books, invariant: str, words: str, doctor: Callable[[Books], object]
) -> None:
    doctor(books)
    found = complaints(await books.seen())
    assert any(words in line for line in found.get(invariant, [])), found


@pytest.mark.parametrize(
    ("invariant", "words", "others"),
    [
        ("cap held", "counted against it", {"used_under_cap": 10**9}),
        ("cap held", "vendors billed", {"billed_under_cap": 10**9}),
        ("rows once", "lacks the row", {"expected_rows": {"r": {("verdicts", "s", "")}}}),
        ("same result", "undisturbed to", {"results": {"r": ["passed", 2]}}),
        ("all ended", "stuck", {"unended": ["r"]}),
        ("all ended", "broke off", {"errors": ["JournalDiverged: step 'x' was opened twice"]}),
        ("no orphans", "left running", {"leftovers": ["17 sleep"]}),
    ],
)
async def test_what_was_watched_is_judged(books: Books, invariant: str, words: str, others: dict[str, Any]) -> None:
    found = complaints(await books.seen(**others))
    assert any(words in line for line in found.get(invariant, [])), found


async def test_an_error_of_the_faults_is_no_finding(books: Books) -> None:
    assert complaints(await books.seen(errors=["StateUnwritable: the disk is full"])) == {}


def test_every_invariant_is_tried_here() -> None:
    assert {name for name, _, _ in DOCTORED} | {"same result", "no orphans"} == set(INVARIANTS)


def test_a_process_that_nobody_is_responsible_for_is_seen(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env={processes.MARK: str(tmp_path)}
    )
    try:
        found = []
        deadline = time.monotonic() + 30
        while not found and time.monotonic() < deadline:
            found = processes.leftovers(tmp_path, (tmp_path,), set())
        assert [words.split()[0] for words in found] == [str(sleeper.pid)]
        assert processes.leftovers(tmp_path, (tmp_path,), {sleeper.pid}) == []
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize(
    ("path", "epoch", "found_out"), [("round-2/agent-1", 2, False), ("round-2/agent-1", 1, True), ("setup", 2, True)]
)
async def test_only_a_turn_of_a_panel_that_was_broken_off_may_stay_open(
    books: Books, path: str, epoch: int, found_out: bool
) -> None:
    books.doctor(f"UPDATE run SET epoch = {epoch:d}")
    seen = await books.seen()
    seen.steps[:] = [seen.steps[0].model_copy(update={"path": path, "done": False})]
    assert any("unfinished step" in line for line in complaints(seen).get("all ended", [])) is found_out
