"""A ledger of an older version is brought up to date when it is opened, once, whole or not at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from bessemer.cluster.errors import LedgerUnavailable
from bessemer.cluster.ledger import Ledger, _engine, _schema, migrations
from tests.ledger._make import Clock, one, opening, reserving, used

VERSION_1 = Path(__file__).parent / "data" / "version_1.sql"


@pytest.fixture
def old_url(url: str, tmp_path: Path) -> str:
    """A ledger of version 1: a file as that version wrote it, or its layout on a server."""
    if url.startswith("sqlite"):
        (tmp_path / "state").mkdir()
        with sqlite3.connect(tmp_path / "state" / "ledger.db") as connection:
            connection.executescript(VERSION_1.read_text())
        return url
    with create_engine(url).begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        command.upgrade(config, "0001")
        connection.execute(text(f"DROP TABLE {_schema.REVISION_TABLE}"))
        connection.execute(text("INSERT INTO meta VALUES ('schema_version', '1'), ('ledger_uuid', 'cafe')"))
    return url


def version(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT value FROM meta WHERE name = 'schema_version'")).scalar())


def differences(url: str) -> list[Any]:
    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": _schema.REVISION_TABLE})
        return list(compare_metadata(context, _schema.metadata))


def test_an_old_ledger_is_migrated_when_it_is_opened(old_url: str) -> None:
    assert version(create_engine(old_url)) == "1"
    with Ledger.open(old_url, clock=Clock()) as ledger:
        one(ledger, opening("other"))
        assert one(ledger, reserving(run="other")).fresh
    assert version(create_engine(old_url)) == str(_schema.SCHEMA_VERSION)
    assert "run_open" in {index["name"] for index in inspect(create_engine(old_url)).get_indexes("run")}
    assert differences(old_url) == []
    Ledger.open(old_url).close()


def test_nothing_is_lost_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(VERSION_1.read_text())
        ledger_id = connection.execute("SELECT value FROM meta WHERE name = 'ledger_uuid'").fetchone()[0]
    with Ledger.open(str(path), clock=Clock()) as ledger:
        assert ledger.ledger_uuid == ledger_id
        assert [attempt.charge for attempt in ledger.attempts("r")] == [40, 100]
        assert used(ledger) == 140
        assert [call.value for call in ledger.calls("r")] == ["kept"]
        assert ledger.steps("r")[0].result == {"a": 1}
        assert len(ledger.read_outbox(10)) == 1


def test_a_new_ledger_and_a_migrated_one_are_laid_out_alike(url: str) -> None:
    Ledger.open(url).close()
    assert differences(url) == []


def test_several_processes_migrate_it_once(old_url: str) -> None:
    code = f"from bessemer.cluster.ledger import Ledger; print(Ledger.open({old_url!r}).ledger_uuid)"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate(timeout=120)[0] for process in started}
    assert len(found) == 1 and found != {""}
    assert differences(old_url) == []


def test_a_migration_that_fails_leaves_the_old_ledger(old_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index it would make is there under its name, for something else."""
    engine = create_engine(old_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE INDEX run_open ON step (state)"))
    with pytest.raises(LedgerUnavailable):
        Ledger.open(old_url)
    assert version(engine) == "1"
    assert _schema.REVISION_TABLE not in inspect(engine).get_table_names()
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX run_open"))
    Ledger.open(old_url).close()
    assert version(engine) == str(_schema.SCHEMA_VERSION)


def test_every_version_has_its_migration() -> None:
    names = sorted(path.name[1:5] for path in Path(migrations.__file__).parent.glob("versions/v*.py"))
    assert names == [migrations.revision_of(number) for number in range(1, _schema.SCHEMA_VERSION + 1)]
    assert _engine.upgrade is migrations.upgrade
