"""Queries over the lake: reads only, over files of every version, and plain copies."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bessemer.cluster.errors import UsageError
from bessemer.cluster.lake import Lake
from bessemer.cluster.records import TABLES, FindingRecord
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


FINDINGS: list[dict[str, Any]] = [
    {"run": "full", "tags": ["sev:security", 'with "quotes", ünd\nlines'], "personas": [], "evidence_found": True},
    {"run": "empty", "tags": None, "evidence_found": None, "unique_to_persona": "", "commit": None, "body": ""},
    {"run": "text", "body": 'a, "b"\nc\ttäb; null', "title": "null", "unique_to_persona": "null", "line": 7},
]


@pytest.fixture
async def findings(site: Site) -> Lake:
    outbox = Outbox()
    for row in FINDINGS:
        outbox.put("findings", FindingRecord(**row).model_dump(mode="json"))
    await site.publisher(outbox).publish_once()
    return site.lake()


async def test_rows_exported_to_csv_read_back_as_they_were(findings: Lake, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv

    assert findings.export(tmp_path / "out", "csv", ["findings"]) == {"findings": len(FINDINGS)}
    rows = findings.table("findings")
    lists = [field.name for field in rows.schema if pa.types.is_list(field.type)]
    types = {field.name: pa.string() if field.name in lists else field.type for field in rows.schema}
    read = csv.read_csv(
        tmp_path / "out" / "findings.csv",
        parse_options=csv.ParseOptions(newlines_in_values=True),
        # A null is an empty field; an empty text is a quoted one.
        convert_options=csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ).to_pylist()
    assert {row["run"] for row in read if row["tags"] is None} == {"empty", "text"}
    for row in read:
        row.update({name: json.loads(row[name]) for name in lists if row[name] is not None})
    assert read == rows.to_pylist()
    assert {row["run"]: row["tags"] for row in read} == {row["run"]: row.get("tags") for row in FINDINGS}


async def test_rows_exported_to_json_lines_read_back_as_they_were(findings: Lake, tmp_path: Path) -> None:
    assert findings.export(tmp_path / "out", "jsonl", ["findings"]) == {"findings": len(FINDINGS)}
    read = [json.loads(line) for line in (tmp_path / "out" / "findings.jsonl").read_text().splitlines()]
    for row in read:
        row["at"] = datetime.fromisoformat(row["at"])
    assert read == findings.table("findings").to_pylist()
    assert {row["run"]: row["tags"] for row in read} == {row["run"]: row.get("tags") for row in FINDINGS}


async def test_compaction_and_vacuum_leave_the_rows_and_one_file(lake: Lake) -> None:
    assert lake.compact() == 3
    assert lake.counts()["calls"] == 3
    assert lake.vacuum(1) == 0
    with pytest.raises(UsageError, match="at least 1 hour"):
        lake.vacuum(0)
