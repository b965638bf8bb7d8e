"""Arrow schemas of the lake's tables, derived from the record classes."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bessemer.cluster.records import TABLES, Record

if TYPE_CHECKING:
    import pyarrow as pa

PARTITION = "date"


def arrow_schema(table: str) -> pa.Schema:
    """The frozen schema of a table, partition column last. Raises KeyError for an unknown table."""
    import pyarrow as pa

    fields = [pa.field(name, _arrow_type(name, info.annotation)) for name, info in TABLES[table].model_fields.items()]
    return pa.schema([*fields, pa.field(PARTITION, pa.string())])


def schema_snapshot() -> dict[str, dict[str, str]]:
    """Every table's columns and types as text: what the frozen file in this folder holds."""
    return {name: {field.name: str(field.type) for field in arrow_schema(name)} for name in sorted(TABLES)}


def arrow_rows(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of one table, validated by its record class. Raises pydantic's ValidationError for a malformed row."""
    import pyarrow as pa

    record: type[Record] = TABLES[table]
    columns = [_row(record.model_validate(row)) for row in rows]
    return pa.Table.from_pylist(columns, schema=arrow_schema(table))


def _row(record: Record) -> dict[str, Any]:
    row = record.model_dump()
    row["at"] = datetime.fromisoformat(record.at)
    row[PARTITION] = record.at[:10]
    return row


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
