"""Opening a ledger, and what its troubles say to people."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.schema import CreateIndex, CreateTable

from bessemer.cluster.errors import (
    BessemerError,
    LedgerCorrupted,
    LedgerTooNew,
    LedgerUnavailable,
    SettingsError,
    StateUnwritable,
)
from bessemer.cluster.ledger import GroupCommit, KeeperLock, Ledger, _flush, _load, _schema
from tests.ledger._make import observing, one, opening, reserving, settling, used


def open_error(url: str, kind: type[BessemerError], *, create: bool = True) -> str:
    """The one line with which opening fails."""
    with pytest.raises(kind) as caught:
        Ledger.open(url, create=create)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_ledger_and_its_companions_are_the_owners_alone(file_ledger: Ledger, tmp_path: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_a_ledger_that_others_may_read_is_closed_to_them(file_url: str, tmp_path: Path) -> None:
    Ledger.open(file_url).close()
    path = tmp_path / "state" / "ledger.db"
    path.chmod(0o644)
    Ledger.open(file_url).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_commit_waits_for_the_disk(file_ledger: Ledger) -> None:
    with file_ledger._store.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_the_database_has_its_own_clock(url: str) -> None:
    import time

    with Ledger.open(url) as ledger:
        one(ledger, opening())
        assert abs(ledger.run("r").opened_at.timestamp() - time.time()) < 5


def test_what_was_written_is_there_after_reopening(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.apply([opening(), reserving(), settling(answer="kept")])
        first = ledger.ledger_uuid
    with Ledger.open(url) as again:
        assert again.ledger_uuid == first
        assert again.calls("r")[0].value == "kept"


def test_a_plain_path_is_a_url(tmp_path: Path) -> None:
    Ledger.open(str(tmp_path / "plain.db")).close()
    assert (tmp_path / "plain.db").exists()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense://", ":// "])
def test_a_url_that_is_no_ledger_is_a_setting_to_mend(url: str) -> None:
    assert "ledger.url" in open_error(url, SettingsError)


def test_a_missing_ledger_is_not_made_when_only_looking(file_url: str, tmp_path: Path) -> None:
    message = open_error(file_url, LedgerUnavailable, create=False)
    assert str(tmp_path) in message
    assert not (tmp_path / "state").exists()


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, it is a letter to the editor" * 100)


def _torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _scratched(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(2, 14):
            file.seek(page * 4096)
            file.write(os.urandom(2000))


def _foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


def _unversioned(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM meta")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_garbage, _torn, _scratched, _foreign, _unversioned, _folder])
def test_a_damaged_ledger_says_where_it_is_and_what_to_do(
    file_url: str, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with Ledger.open(file_url) as ledger:
        ledger.apply([opening(), *(reserving(f"k{index}", index=index, worst=1) for index in range(300))])
    path = tmp_path / "state" / "ledger.db"
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    message = open_error(file_url, LedgerCorrupted)
    assert str(path) in message
    assert "move it away" in message
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_newer_ledger_is_left_alone(file_url: str, tmp_path: Path) -> None:
    Ledger.open(file_url).close()
    with sqlite3.connect(tmp_path / "state" / "ledger.db") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    message = open_error(file_url, LedgerTooNew)
    assert "99" in message and "upgrade" in message


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message = open_error(f"sqlite:///{tmp_path}/file/state/ledger.db", StateUnwritable)
    assert str(tmp_path / "file") in message


def test_a_state_directory_the_kernel_keeps_read_only_is_named() -> None:
    """/proc takes no files from anybody, root included."""
    message = open_error("sqlite:////proc/bessemer/ledger.db", StateUnwritable)
    assert "/proc/bessemer" in message and "writable" in message


async def test_a_full_disk_acknowledges_nothing_and_a_later_try_works(file_url: str) -> None:
    """A limit on the size of files stands for the full disk: the kernel refuses the write all the same."""
    with Ledger.open(file_url) as ledger:
        one(ledger, opening(caps={"run:r": None}))
        keeper = GroupCommit(ledger)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            with pytest.raises(StateUnwritable) as caught:
                await keeper.submit([reserving(), observing("x" * 1_000_000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "\n" not in caught.value.message
        assert ledger.attempts("r") == []
        await keeper.submit([reserving(), observing("x" * 1_000_000)])
        assert used(ledger) == 100
        await keeper.close()


def test_a_ledger_removed_while_in_use_takes_no_more_writes(file_ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "state" / "ledger.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(LedgerUnavailable, match="removed or replaced"):
        one(file_ledger, reserving())
    (tmp_path / "elsewhere.db").rename(tmp_path / "state" / "ledger.db")
    assert one(file_ledger, reserving()).fresh


def test_two_processes_lay_out_one_ledger(url: str) -> None:
    """Several first openings at once find one ledger, with one id."""
    code = f"from bessemer.cluster.ledger import Ledger; print(Ledger.open({url!r}).ledger_uuid)"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate(timeout=120)[0] for process in started}
    assert len(found) == 1 and found != {""}


def test_two_openings_share_one_file(url: str) -> None:
    """A command line looks and resolves while the keeper writes: each sees what the other committed."""
    with Ledger.open(url) as keeper, Ledger.open(url) as command:
        one(keeper, opening())
        assert one(command, reserving()).fresh
        assert used(keeper) == 100
        with keeper._store.reading(), command._store.writing():
            pass


def test_one_keeper_holds_the_lock_and_its_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.lock"
    code = f"""
        import sys
        from bessemer.cluster.ledger import KeeperLock
        with KeeperLock({str(path)!r}):
            print("held", flush=True)
            sys.stdin.readline()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LedgerUnavailable) as caught:
            KeeperLock(path).acquire()
        assert f"process {holder.pid}" in caught.value.message
        holder.kill()
    mine = KeeperLock(path)
    mine.acquire(wait=10)
    mine.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    mine.release()
    with KeeperLock(path):
        pass


def test_a_lock_that_cannot_be_written_is_named() -> None:
    with pytest.raises(StateUnwritable, match="/proc/bessemer"):
        KeeperLock("/proc/bessemer/ledger.lock").acquire()


def test_every_statement_can_be_said_to_postgresql() -> None:
    """Tables, indexes, bulk writes and locked reads, as the postgres extra would send them."""
    dialect = psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    for table in _schema.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert "WHERE" in str(CreateIndex(index).compile(dialect=dialect))
    statements = _flush._statements(dialect)
    assert "ON" not in statements.inserts["attempt"].sql
    assert statements.updates["scope"].sql.count("%s") == 5
    assert _load._RUNS._text(dialect, 4).endswith("FOR UPDATE")
    assert _load._SCOPES._text(dialect, 4).endswith("FOR UPDATE")
    assert not _load._ATTEMPTS._text(dialect, 4).endswith("FOR UPDATE")
