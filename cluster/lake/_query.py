"""Reading the lake: every table a DuckDB view, read-only; plain copies for everything else."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bessemer.cluster.errors import LakeError, UsageError
from bessemer.cluster.lake._schemas import arrow_schema, refuse_newer
from bessemer.cluster.records import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "csv", "jsonl"]
MARK = ".bessemer-export"
_READS = re.compile(r"^\s*(select|with|describe|show|from|summarize|values|explain)\b", re.IGNORECASE)


class Lake:
    """The tables under one URL or folder. Tables that do not exist yet read as empty."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def table(self, name: str) -> pa.Table:
        """All rows of one table, in its frozen schema; unknown newer columns are left out. Raises LakeError."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        schema, uri = arrow_schema(name), f"{self.url}/{name}"
        try:
            if not DeltaTable.is_deltatable(uri):
                return schema.empty_table()
            there = DeltaTable(uri)
            refuse_newer(uri, there.metadata().description)
            found = there.to_pyarrow_table()
        except (DeltaError, OSError) as error:
            raise LakeError(f"the lake table {uri} cannot be read: {' '.join(str(error).split())[:200]}") from None
        return _in_schema(found, schema)

    def sql(self, query: str) -> pa.Table:
        """Answer a query over the views. Raises UsageError for anything that is not a read, or does not parse."""
        import duckdb

        if not _READS.match(query):
            raise UsageError(f"the lake is read-only and {query.split()[:1]} is no read; use SELECT")
        connection = duckdb.connect(config={"enable_external_access": "false"})
        for name in TABLES:
            if re.search(rf"\b{name}\b", query, re.IGNORECASE) or re.match(r"\s*show", query, re.IGNORECASE):
                connection.register(name, self.table(name))
        connection.execute("SET lock_configuration = true")
        try:
            found = connection.sql(query)
            return (
                found.to_arrow_table()
                if found is not None
                else connection.sql("SELECT NULL WHERE false").to_arrow_table()
            )
        except duckdb.Error as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise UsageError(f"the query does not work: {' '.join(lines[:3])[:300]}") from None
        finally:
            connection.close()

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {name: self.table(name).num_rows for name in TABLES}

    def export(self, target: Path, kind: Format, tables: Sequence[str] | None = None) -> dict[str, int]:
        """Write plain files, one per table, all or none; returns rows by table. Raises UsageError, LakeError."""
        unknown = [name for name in tables or () if name not in TABLES]
        if unknown:
            raise UsageError(f"the lake has no table {unknown[0]!r}; it has {', '.join(TABLES)}")
        if target.exists() and any(target.iterdir()) and not (target / MARK).exists():
            raise UsageError(f"{target} is not empty; give a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            written = {name: self._write(name, beside, kind) for name in tables or TABLES}
            (beside / MARK).write_text("made by bessemer lake export\n")
            if target.exists():
                shutil.rmtree(target)
            beside.rename(target)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        return written

    def compact(self) -> int:
        """Merge each table's small files; returns how many files were replaced."""
        from deltalake import DeltaTable

        replaced = 0
        for name in TABLES:
            uri = f"{self.url}/{name}"
            if DeltaTable.is_deltatable(uri):
                replaced += int(DeltaTable(uri).optimize.compact().get("numFilesRemoved", 0))
        return replaced

    def _write(self, name: str, folder: Path, kind: Format) -> int:
        import json

        found = self.table(name)
        path = folder / f"{name}.{kind}"
        if kind == "parquet":
            import pyarrow.parquet as parquet

            parquet.write_table(found, path)
        elif kind == "csv":
            import pyarrow.csv as csv

            csv.write_csv(_flat(found), path)
        else:
            with path.open("w") as file:
                for row in found.to_pylist():
                    file.write(json.dumps(row, default=str) + "\n")
        return int(found.num_rows)


def _in_schema(found: Any, schema: Any) -> Any:
    import pyarrow as pa

    columns = [
        found.column(field.name).cast(field.type)
        if field.name in found.column_names
        else pa.nulls(found.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _flat(found: Any) -> Any:
    """Lists as JSON text, because CSV has no lists."""
    import json

    import pyarrow as pa

    for number, field in enumerate(found.schema):
        if pa.types.is_list(field.type):
            texts = [json.dumps(value) for value in found.column(number).to_pylist()]
            found = found.set_column(number, field.name, pa.array(texts, pa.string()))
    return found
