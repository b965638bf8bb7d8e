"""Reading the lake: every table a DuckDB view, read-only; plain copies for everything else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bessemer.cluster.errors import UsageError
from bessemer.cluster.lake._place import Place
from bessemer.cluster.lake._schemas import arrow_schema
from bessemer.cluster.records import TABLES

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from pyarrow.dataset import Dataset

Format = Literal["parquet", "csv", "jsonl"]
MARK = ".bessemer-export"


class Lake:
    """The tables under one URL or folder. Tables that do not exist yet read as empty."""

    def __init__(self, url: str, storage: Mapping[str, str] | None = None) -> None:
        self._place = Place(url, storage)
        self.url = self._place.url

    def check(self) -> None:
        """Raises LakeError where an object store cannot be used as it is; a folder is looked at when it is used."""
        self._place.check()

    def table(self, name: str) -> pa.Table:
        """All rows of one table, in its frozen schema; unknown newer columns are left out. Raises LakeError."""
        rows = self._rows(name)
        with self._place.troubles(name, "read"):
            return _in_schema(rows.to_table(), arrow_schema(name))

    def sql(self, query: str) -> pa.Table:
        """Answer a query over the views. Raises UsageError for anything that is not a read, or does not parse."""
        import duckdb

        # A query must reach neither files, nor the network, nor the variables of this process.
        config = {"enable_external_access": "false", "python_enable_replacements": "false"}
        connection = duckdb.connect(config=config)
        try:
            _refuse_writes(connection, query)
            for name in _named(connection, query):
                connection.register(name, self._rows(name))
            connection.execute("SET lock_configuration = true")
            found = connection.sql(query)
            if found is None:
                raise UsageError("the query gives no rows; use SELECT")
            return found.to_arrow_table()
        except duckdb.Error as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise UsageError(f"the query does not work: {' '.join(lines[:3])[:300]}") from None
        finally:
            connection.close()

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {name: int(self._rows(name).count_rows()) for name in TABLES}

    def export(self, target: Path, kind: Format, tables: Sequence[str] | None = None) -> dict[str, int]:
        """Write plain files, one per table, all or none; returns rows by table. Raises UsageError, LakeError."""
        unknown = [name for name in tables or () if name not in TABLES]
        if unknown:
            raise UsageError(f"the lake has no table {unknown[0]!r}; it has {', '.join(TABLES)}")
        if target.exists() and not target.is_dir():
            raise UsageError(f"{target} is a file; give a folder")
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
        """Merge each table's small files; returns how many files were replaced. Raises LakeError."""
        from deltalake.exceptions import CommitFailedError

        replaced = 0
        for name in TABLES:
            try:
                with self._place.troubles(name, "compacted"):
                    if there := self._place.find(name):
                        replaced += int(there.optimize.compact().get("numFilesRemoved", 0))
            except CommitFailedError:
                # Somebody else compacts the same files: what both would do is done.
                continue
        return replaced

    def vacuum(self, hours: float) -> int:
        """Delete files that no version of the last `hours` needs; returns how many. Raises UsageError below 1 hour."""
        if not hours >= 1:
            raise UsageError(f"vacuum keeps at least 1 hour, because readers may still need those files; not {hours:g}")
        removed = 0
        for name in TABLES:
            with self._place.troubles(name, "vacuumed"):
                if there := self._place.find(name):
                    kept = int(hours)
                    removed += len(there.vacuum(kept, dry_run=False, enforce_retention_duration=False))
        return removed

    def _rows(self, name: str) -> Dataset:
        """One table as it lies there, read when needed; empty where there is none. Raises LakeError."""
        from pyarrow.dataset import dataset

        schema, there = arrow_schema(name), self._place.find(name)
        if there is None:
            return dataset(schema.empty_table())
        with self._place.troubles(name, "read"):
            # Files of an older version lack the newer columns: those read as null.
            return there.to_pyarrow_dataset().replace_schema(schema)

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


def _refuse_writes(connection: DuckDBPyConnection, query: str) -> None:
    """Raises UsageError unless `query` is one statement that reads."""
    from duckdb import StatementType

    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise UsageError(f"give one query; this is {len(statements)} statements")
    # A PIVOT is parsed into several statements of its own.
    if statements[0].type not in (StatementType.SELECT, StatementType.EXPLAIN, StatementType.MULTI):
        raise UsageError(f"the lake is read-only and {query.split()[0]} is no read; use SELECT")


def _named(connection: DuckDBPyConnection, query: str) -> list[str]:
    """The tables a query names; all where it names none, for SHOW TABLES."""
    import duckdb

    try:
        named = {name.lower() for name in connection.get_table_names(query)}
    except duckdb.Error:
        named = set()
    return [name for name in TABLES if name in named] or list(TABLES)


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
            texts = [None if value is None else json.dumps(value) for value in found.column(number).to_pylist()]
            found = found.set_column(number, field.name, pa.array(texts, pa.string()))
    return found
