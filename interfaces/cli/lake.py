"""`bessemer lake`: query and export what was recorded."""

from __future__ import annotations

import json
import math
import sys
from datetime import date, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from bessemer.cluster.lake import Lake

app = typer.Typer(help="Query and export what was recorded.")

Place = Annotated[
    str, typer.Option("--lake", metavar="URL", help="Another lake than this folder's: a folder or s3://.")
]
Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]


class Format(StrEnum):
    """Plain file formats."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        tables(as_json=False)


@app.command()
def tables(as_json: Json = False, lake: Place = "", config: Config = None) -> None:
    """List the tables and how many rows each has."""
    counts = _lake(lake, config).counts()
    if as_json:
        for name, rows in counts.items():
            print(json.dumps({"table": name, "rows": rows}))
        return
    _show(["table", "rows"], [[name, str(rows)] for name, rows in counts.items()])


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='For example "SELECT backend, sum(cost) FROM calls GROUP BY 1".')],
    limit: Annotated[int, typer.Option(min=1, help="Most rows to show.")] = 1000,
    as_json: Json = False,
    lake: Place = "",
    config: Config = None,
) -> None:
    """Answer a read-only query; every table is a view."""
    found = _lake(lake, config).sql(query)
    rows: list[dict[str, Any]] = found.slice(0, limit).to_pylist()
    if found.num_rows > limit:
        print(f"showing {limit} of {found.num_rows} rows; raise --limit for more", file=sys.stderr)
    if as_json:
        for row in rows:
            print(json.dumps(_plain(row)))
        return
    _show(found.column_names, [["" if value is None else str(value) for value in row.values()] for row in rows])


@app.command()
def export(
    to: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one exported to before.")],
    kind: Annotated[Format, typer.Option("--format", help="Format of the files.")] = Format.PARQUET,
    table: Annotated[list[str] | None, typer.Option("--table", help="Only these tables.")] = None,
    as_json: Json = False,
    lake: Place = "",
    config: Config = None,
) -> None:
    """Write plain files, one per table."""
    written = _lake(lake, config).export(to, kind.value, table)
    if as_json:
        print(json.dumps({"to": str(to), "rows": written}))
    print(f"wrote {sum(written.values())} rows of {len(written)} tables to {to}", file=sys.stderr)


@app.command()
def compact(
    vacuum_hours: Annotated[
        float | None, typer.Option("--vacuum", metavar="HOURS", help="Also delete files unused for so many hours.")
    ] = None,
    as_json: Json = False,
    lake: Place = "",
    config: Config = None,
) -> None:
    """Merge each table's small files; with --vacuum delete those that nothing refers to any more."""
    from bessemer.interfaces.cli._frame import emit

    found = _lake(lake, config)
    replaced = found.compact()
    print(f"replaced {replaced} files", file=sys.stderr)
    deleted = None if vacuum_hours is None else found.vacuum(vacuum_hours)
    if deleted is not None:
        print(f"deleted {deleted} files", file=sys.stderr)
    if as_json:
        emit({"replaced": replaced, "deleted": deleted})


def _lake(place: str, config: list[Path] | None) -> Lake:
    from bessemer.cluster.lake import Lake
    from bessemer.cluster.settings import load_settings

    settings = load_settings(files=config or [])
    return Lake(place or settings.lake.url or str(settings.state_dir.absolute() / "lake"), settings.lake.storage)


def _plain(value: Any) -> Any:
    """A value as JSON has it: a decimal is a number, NaN and the infinities are null, times are ISO 8601."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def _show(columns: list[str], rows: list[list[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table if rows else "no rows")
