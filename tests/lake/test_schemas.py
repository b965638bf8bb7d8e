"""The schemas are frozen: a record class changes together with its version, and columns are only added."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake import _schemas
from bessemer.cluster.records import SCHEMA_MAJOR, SCHEMA_VERSION, TABLES
from tests.lake._outbox import Outbox
from tests.lake._site import Site


def test_the_frozen_file_holds_the_schemas_of_now() -> None:
    assert _schemas.frozen_schemas()[f"{SCHEMA_MAJOR}.{SCHEMA_VERSION}"] == _schemas.schema_snapshot()


def test_a_version_that_is_frozen_takes_no_other_columns() -> None:
    frozen = _schemas.frozen_schemas()
    changed = {**frozen[f"{SCHEMA_MAJOR}.{SCHEMA_VERSION}"], "events": {"kind": "string"}}
    with pytest.raises(LakeError, match="raise SCHEMA_VERSION"):
        _schemas.with_frozen({**frozen, f"{SCHEMA_MAJOR}.{SCHEMA_VERSION}": changed})


def test_columns_are_only_added() -> None:
    for before, after in pairwise(_schemas.frozen_schemas().values()):
        for table, columns in before.items():
            assert columns.items() <= after[table].items(), table


def test_every_column_has_a_meaning() -> None:
    bare = [
        f"{table}.{name}"
        for table, record in TABLES.items()
        for name, info in record.model_fields.items()
        if not any(isinstance(note, str) for note in info.metadata)
    ]
    assert bare == []


async def test_a_lake_of_the_first_version_takes_and_gives_rows_of_this_one(site: Site) -> None:
    """A table made before `in_doubt` was a column reads as null there, and grows the column with the next row."""
    import pyarrow as pa
    from deltalake import write_deltalake

    first = [
        field for field in _schemas.arrow_schema("calls") if field.name in _schemas.frozen_schemas()["1.1"]["calls"]
    ]
    old = _schemas.lake_row("calls", {"run": "old", "schema_version": 1})
    write_deltalake(
        f"{site.url}/calls",
        pa.Table.from_pylist([old], schema=pa.schema(first)),
        partition_by=["date"],
        storage_options=site.storage or None,
    )
    lake = site.lake()
    assert lake.table("calls").column("in_doubt").to_pylist() == [None]
    outbox = Outbox()
    outbox.put("calls", {"run": "new", "in_doubt": True})
    await site.publisher(outbox).publish_once()
    found = {row["run"]: row["in_doubt"] for row in lake.table("calls").to_pylist()}
    assert found == {"old": None, "new": True}
