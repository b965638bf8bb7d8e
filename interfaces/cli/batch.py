"""`bessemer batch`: the vendor batches that calls of this ledger are in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from bessemer.interfaces.cli._options import Json

app = typer.Typer(help="List and cancel the vendors' batches that overnight calls are in.")

Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_batches(as_json=False)


@app.command("list")
def list_batches(config: Config = None, as_json: Json = False) -> None:
    """List what is out with a vendor, oldest first, and what still waits to be."""
    from bessemer.interfaces.cli import _batch
    from bessemer.interfaces.cli._frame import emit

    found = _batch.batches(config)
    if as_json:
        for one in found:
            emit(one)
        return
    _batch.show(found)


@app.command()
def cancel(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The batch, or the start of its id.")],
    config: Config = None,
    address: Annotated[str, typer.Option("--address", help="Ray cluster to join, or ray://HOST:PORT.")] = "",
    as_json: Json = False,
) -> None:
    """Ask the vendor to cancel a batch. What it had answered is kept and paid; the other calls fail as cancelled."""
    from bessemer.interfaces.cli import _batch
    from bessemer.interfaces.cli._frame import emit, say

    done = asyncio.run(_batch.cancel(batch, config, address))
    row = done.batch
    if as_json:
        emit({"batch": row.batch, "provider": row.provider, "calls": row.calls, "asked": done.asked})
    say(_batch.words_for(done))
