"""A ledger moves between databases whole and once, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from bessemer.cluster.errors import BessemerError, LedgerUnavailable, RunIsOpen, SettingsError, UsageError
from bessemer.cluster.ledger import Ledger, Record, SetCap, move_ledger
from bessemer.interfaces.cli.budget import ledger_app
from tests._postgresql import Postgresql
from tests.ledger._make import Clock, closing, finishing, observing, one, opening, reserving, row, settling, used


@pytest.fixture
def target(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An empty database of the other kind."""
    if url.startswith("sqlite"):
        server: Postgresql = request.getfixturevalue("postgresql")
        return server.new_url()
    return f"sqlite:///{tmp_path / 'other' / 'ledger.db'}"


def fill(url: str) -> None:
    with Ledger.open(url, clock=Clock()) as ledger:
        one(ledger, SetCap(scope="queue:night", cap=5000, version=1))
        for number in range(3):
            run = f"r{number}"
            ledger.apply(
                [
                    opening(run),
                    reserving(run=run),
                    settling(f"{run}|s|0|1", answer="ünï\u0000 ' %s"),
                    reserving("k2", run=run, index=1),
                    observing({"a": [1, None]}, run=run),
                    finishing({"b": 2}, run=run),
                    closing("interrupted" if number else "done", run=run),
                    Record(token=f"t{number}", rows=(row(f"x{number}"),)),
                ]
            )


def content(url: str) -> dict[str, Any]:
    from bessemer.cluster.ledger import _schema

    with create_engine(url).connect() as connection:
        return {
            table.name: [
                tuple(found)
                for found in connection.execute(table.select().order_by(*table.primary_key))
                if found[0] != "moved_to"
            ]
            for table in _schema.metadata.sorted_tables
        }


def test_everything_is_moved_and_work_goes_on_there(url: str, target: str) -> None:
    fill(url)
    before = content(url)
    moved = move_ledger(url, target)
    assert content(target) == before == content(url)
    assert (moved.charged, moved.used) == (420, 420)
    with Ledger.open(target, clock=Clock(1_800_001_000.0)) as ledger:
        assert one(ledger, opening("r1", token="open-2")).epoch == 2
        one(ledger, Record(token="t9", rows=(row("x9"),)))
        assert [seq for seq, _, _ in ledger.read_outbox(10)] == [1, 2, 3, 4]
        ledger.delete_run("r0", by="ann")
        assert ledger.audit()[0].action == "delete_run"
        assert used(ledger, "run:r1") == 140


def test_the_old_ledger_says_where_it_went(url: str, target: str) -> None:
    fill(url)
    move_ledger(url, target)
    with pytest.raises(SettingsError, match=r"was moved to .*set ledger.url") as caught:
        Ledger.open(url)
    assert "\n" not in caught.value.message


def test_a_live_run_is_not_moved_from_under_its_host(url: str, target: str) -> None:
    with Ledger.open(url) as ledger:
        one(ledger, opening())
    with pytest.raises(RunIsOpen, match="run r is held by a"):
        move_ledger(url, target)
    Ledger.open(url).close()
    assert content(target)["run"] == []


def test_a_target_with_work_in_it_is_left_alone(url: str, target: str) -> None:
    fill(url)
    fill(target)
    before = content(target)
    with pytest.raises(UsageError, match="not empty"):
        move_ledger(url, target)
    assert content(target) == before
    Ledger.open(url).close()


def test_a_move_that_broke_off_before_the_mark_is_done_again(url: str, target: str) -> None:
    fill(url)
    move_ledger(url, target)
    with create_engine(url).begin() as connection:
        connection.execute(text("DELETE FROM meta WHERE name = 'moved_to'"))
    move_ledger(url, target)
    with pytest.raises(SettingsError, match="was moved"):
        Ledger.open(url)


def test_a_move_that_fails_leaves_both_sides_as_they_were(url: str, target: str) -> None:
    """The target refuses one table's rows half-way."""
    fill(url)
    Ledger.open(target).close()
    engine = create_engine(target)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE step"))
    with pytest.raises(BessemerError):
        move_ledger(url, target)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM attempt")).scalar() == 0
    Ledger.open(url).close()


def test_the_same_database_is_no_target(url: str) -> None:
    Ledger.open(url).close()
    with pytest.raises(UsageError, match="is where the ledger is already"):
        move_ledger(url, url)


def test_a_server_in_use_by_another_cluster_is_not_moved(postgresql: Postgresql, tmp_path: Path) -> None:
    url = postgresql.new_url()
    fill(url)
    with Ledger.open(url) as other:
        other.runs()
        with pytest.raises(LedgerUnavailable, match="in use by 1 other"):
            move_ledger(url, f"sqlite:///{tmp_path / 'other.db'}")


def test_the_command_moves_and_says_what(postgresql: Postgresql, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    fill(str(tmp_path / ".bessemer" / "ledger.db"))
    target = postgresql.new_url()
    done = CliRunner().invoke(ledger_app, ["migrate", "--to", target, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[0])["charged"] == 420
    assert len(content(target)["run"]) == 3
