"""Queries over the lake: reads only, over files of every version, and plain copies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bessemer.cluster.errors import UsageError
from bessemer.cluster.lake import Lake
from bessemer.cluster.records import TABLES
from bessemer.interfaces.cli.lake import app
from tests.lake._outbox import Outbox
from tests.lake._site import Site


@pytest.fixture
async def lake(site: Site) -> Lake:
    outbox = Outbox()
    for number in range(3):
        outbox.put("calls", {"run": "r", "backend": f"scripted/{number}", "cost": 10 * number, "seconds": 0.5})
        await site.publisher(outbox).publish_once()
    return site.lake()


async def test_a_query_sees_every_row_and_tables_without_rows(lake: Lake) -> None:
    query = "SELECT sum(cost) AS cost, (SELECT count(*) FROM votes) AS votes FROM calls"
    assert lake.sql(query).to_pylist() == [{"cost": 30, "votes": 0}]
    assert lake.sql("FROM calls SELECT backend WHERE cost > 5 ORDER BY 1").column(0).to_pylist() == [
        "scripted/1",
        "scripted/2",
    ]
    assert {row["name"] for row in lake.sql("SHOW TABLES").to_pylist()} == set(TABLES)


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW calls",
        "SELECT 1; DROP VIEW calls",
        "-- only\nCREATE TABLE x AS SELECT 1",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.db'",
        "SET threads = 1",
        "PRAGMA database_list",
        "",
        "SELECT",
        "SELECT * FROM read_csv('/etc/hosts')",
        "SELECT * FROM '/etc/hosts'",
        "SELECT * FROM lake",
        "SELECT getenv('HOME')",
    ],
)
async def test_what_is_no_read_of_the_lake_is_refused(lake: Lake, query: str) -> None:
    with pytest.raises(UsageError):
        lake.sql(query)


async def test_json_has_numbers_and_null_where_sql_has_decimals_and_nan(lake: Lake) -> None:
    query = (
        "SELECT sum(cost) AS whole, 1.5::DECIMAL(4, 2) AS part, 'nan'::DOUBLE AS nothing, [1, 2] AS several, "
        "DATE '2026-01-02' AS day FROM calls"
    )
    done = CliRunner().invoke(app, ["sql", query, "--json", "--lake", lake.url])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == {"whole": 30, "part": 1.5, "nothing": None, "several": [1, 2], "day": "2026-01-02"}


async def test_an_export_goes_to_a_folder_only(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        lake.export(tmp_path / "file", "csv")
    assert (tmp_path / "file").read_text() == "mine"
    assert lake.export(tmp_path / "out", "parquet", ["calls"]) == {"calls": 3}


async def test_compaction_and_vacuum_leave_the_rows_and_one_file(lake: Lake) -> None:
    assert lake.compact() == 3
    assert lake.counts()["calls"] == 3
    assert lake.vacuum(1) == 0
    with pytest.raises(UsageError, match="at least 1 hour"):
        lake.vacuum(0)
