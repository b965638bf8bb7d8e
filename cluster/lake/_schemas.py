"""Arrow schemas of the lake's tables, derived from the record classes and frozen in `schemas.json`."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bessemer.cluster.errors import LakeError
from bessemer.cluster.records import SCHEMA_MAJOR, SCHEMA_VERSION, TABLES, Record

if TYPE_CHECKING:
    import pyarrow as pa

PARTITION = "date"
FROZEN = Path(__file__).with_name("schemas.json")

Snapshot = dict[str, dict[str, str]]


def arrow_schema(table: str) -> pa.Schema:
    """The frozen schema of a table, partition column last. Raises KeyError for an unknown table."""
    import pyarrow as pa

    fields = [pa.field(name, _arrow_type(name, info.annotation)) for name, info in TABLES[table].model_fields.items()]
    return pa.schema([*fields, pa.field(PARTITION, pa.string())])


def schema_snapshot() -> Snapshot:
    """Every table's columns and types as text: what the frozen file in this folder holds for this version."""
    return {name: {field.name: str(field.type) for field in arrow_schema(name)} for name in sorted(TABLES)}


def frozen_schemas() -> dict[str, Snapshot]:
    """The snapshot of every version that was ever frozen, by `major.version`."""
    found: dict[str, Snapshot] = json.loads(FROZEN.read_text(encoding="utf-8"))
    return found


def with_frozen(frozen: Mapping[str, Snapshot]) -> dict[str, Snapshot]:
    """`frozen` and the snapshot of now. Raises LakeError where that version is frozen with other columns."""
    version, now = f"{SCHEMA_MAJOR}.{SCHEMA_VERSION}", schema_snapshot()
    if frozen.get(version, now) != now:
        raise LakeError(f"the lake's schema {version} is frozen with other columns; raise SCHEMA_VERSION in records.py")
    return {**frozen, version: now}


def described() -> str:
    """What the metadata of a new Delta table says about its schema."""
    return f"bessemer schema major {SCHEMA_MAJOR}"


def refuse_newer(uri: str, description: str | None) -> None:
    """Raises LakeError where a table's metadata names a newer major version than this one knows."""
    said = re.fullmatch(r"bessemer schema major (\d+)", description or "")
    if said and int(said[1]) > SCHEMA_MAJOR:
        raise LakeError(
            f"the lake table {uri} has schema {said[1]} and this version knows {SCHEMA_MAJOR}; upgrade bessemer"
        )


def lake_row(table: str, row: Any) -> dict[str, Any]:
    """One row as the lake takes it: validated, times in UTC, dated.

    Raises KeyError for an unknown table, ValueError (pydantic's ValidationError among them) or OverflowError for a
    malformed row.
    """
    record: Record = TABLES[table].model_validate(row)
    at = datetime.fromisoformat(record.at)
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    values = record.model_dump()
    record.model_dump_json()  # raises for half a surrogate pair, which Arrow cannot hold
    for name, value in values.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{name} {value} does not fit 64 bits")
    # `date` is of the same clock as `at`, whatever offset the row was written with.
    return {**values, "at": at, PARTITION: at.date().isoformat()}


def arrow_rows(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows from `lake_row` as one Arrow table in the table's schema."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=arrow_schema(table))


def _arrow_type(name: str, annotation: Any) -> pa.DataType:
    import pyarrow as pa

    if name == "at":
        return pa.timestamp("us", tz="UTC")
    if isinstance(annotation, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is list:
        return pa.list_(pa.string())
    plain = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return plain[annotation]
