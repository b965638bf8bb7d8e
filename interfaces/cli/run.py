"""`bessemer run`: what ran, how it ended, going on with it, and getting its result out."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from bessemer.cluster.home import Home
    from bessemer.cluster.ledger import Ledger, RunRow
    from bessemer.cluster.settings import Settings

app = typer.Typer(help="List, show, resume, attach, cancel, fork, export and delete runs.")

Id = Annotated[str, typer.Argument(metavar="ID", help="A run's id, or the start of it.")]
Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]
Address = Annotated[str, typer.Option("--address", help="Ray cluster to join, or ray://HOST:PORT.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_runs(limit=20, as_json=False)


@app.command("list")
def list_runs(limit: Annotated[int, typer.Option(min=1)] = 20, as_json: Json = False) -> None:
    """List the runs of this folder, newest first."""
    home, _ = _home(None)
    with _ledger(home) as ledger:
        rows = ledger.runs(limit)
    if as_json:
        for row in rows:
            print(row.model_dump_json())
        return
    _show_list(rows)


@app.command()
def show(run: Id, as_json: Json = False) -> None:
    """Show one run: its plan, its money, its rounds and where its files are."""
    home, _ = _home(None)
    with _ledger(home) as ledger:
        row = _find(ledger, run)
    directory = home.run_directory(row.run)
    outcome = _read(directory / "outcome.json")
    if as_json:
        print(json.dumps({"run": row.model_dump(mode="json"), "outcome": outcome, "directory": str(directory)}))
        return
    _show_run(row, outcome, directory)


@app.command()
def resume(
    run: Id,
    cost_budget: Annotated[str | None, typer.Option(metavar="USD", help="Raise the cap to this.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the result back if it is safe.")] = False,
    config: Config = None,
    address: Address = "",
    as_json: Json = False,
) -> None:
    """Go on with a run: what is done answers from the ledger, what is paid for is not bought again."""
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._resume import prepare_resume

    home, settings = _home(config)
    cap = _start.dollars(cost_budget, "--cost-budget")
    with _ledger(home) as ledger:
        prepared = prepare_resume(ledger, _find(ledger, run), home, settings, cap, address)
    outcome = asyncio.run(_start.run_to_end(prepared, settings, address, as_json))
    raise typer.Exit(_start.finish(outcome, prepared, as_json=as_json, apply=apply))


@app.command()
def fork(run: Id, config: Config = None, address: Address = "", as_json: Json = False) -> None:
    """Start a new run from another's last accepted work, under today's code and settings."""
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._resume import prepare_fork

    home, settings = _home(config)
    with _ledger(home) as ledger:
        row = _find(ledger, run)
    prepared = prepare_fork(row, home, settings)
    print(f"forked {row.run} as {prepared.spec.run}", file=sys.stderr)
    outcome = asyncio.run(_start.run_to_end(prepared, settings, address, as_json))
    raise typer.Exit(_start.finish(outcome, prepared, as_json=as_json))


@app.command()
def attach(run: Id, config: Config = None, address: Address = "", as_json: Json = False) -> None:
    """Follow a run that goes on in the cluster. Ctrl-C ends only the watching."""
    from bessemer.interfaces.cli import _attach, _start

    home, settings = _home(config)
    with _ledger(home) as ledger:
        row = _find(ledger, run)
    outcome = _attach.ended_before(row, home)
    prepared = _attach.prepare_attach(row, home, settings, address) if outcome is None else None
    if prepared is not None:
        outcome = asyncio.run(_attach.attach(prepared, settings, address, as_json=as_json))
    raise typer.Exit(_start.show_end(outcome or {}, row.pipeline, as_json=as_json))


@app.command()
def cancel(run: Id, address: Address = "", as_json: Json = False) -> None:
    """Stop a run cleanly: what was accepted is saved, and it can be resumed."""
    from bessemer.interfaces.cli._frame import emit
    from bessemer.interfaces.cli._resume import cancel_run

    home, settings = _home(None)
    with _ledger(home) as ledger:
        row = _find(ledger, run)
    said = cancel_run(row, home, settings, address)
    if as_json:
        with _ledger(home) as ledger:
            now = _find(ledger, row.run)
        emit({"run": row.run, "before": row.status, "status": now.status, "message": said})
    print(said, file=sys.stderr)


@app.command()
def export(
    run: Id,
    to: Annotated[Path | None, typer.Option("--to", metavar="PATH", help="Copy it to a new folder.")] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="Make a branch in your repository.")] = None,
    patch: Annotated[Path | None, typer.Option("--patch", metavar="FILE", help="For `git apply`.")] = None,
    as_json: Json = False,
) -> None:
    """Get a run's result out: as a folder, a branch or a patch. Your checkout is not touched."""
    from bessemer.interfaces.cli._export import Place, export_result
    from bessemer.interfaces.cli._frame import emit

    place = Place(to, branch, patch)
    home, _ = _home(None)
    with _ledger(home) as ledger:
        row = _find(ledger, run)
    done = asyncio.run(export_result(home.run_directory(row.run), row.run, row.pipeline, place))
    if as_json:
        emit({"run": row.run, **done.facts})
    print(done.said, file=sys.stderr)


@app.command()
def delete(
    run: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a run's answers and files. What it cost stays in the ledger."""
    import shutil

    from bessemer.actors.apart import Carrier
    from bessemer.interfaces.cli._frame import emit
    from bessemer.interfaces.cli._questions import confirmed

    home, _ = _home(None)
    with _ledger(home) as ledger:
        row = _find(ledger, run)
        if not yes and not confirmed(f"Erase the answers and files of run {row.run}?"):
            raise typer.Exit(130)
        ledger.delete_run(row.run)
    shutil.rmtree(home.run_directory(row.run), ignore_errors=True)
    asyncio.run(Carrier(home).forget(row.run))
    if as_json:
        emit({"run": row.run, "deleted": True})
    print(f"deleted {row.run}; its costs stay in the ledger", file=sys.stderr)


def directory_of(run: str) -> tuple[str, Path]:
    """The whole id of a run of this folder, and where its files are. Raises UsageError where there is no such run."""
    home, _ = _home(None)
    with _ledger(home) as ledger:
        row = _find(ledger, run)
    return row.run, home.run_directory(row.run)


def _home(config: list[Path] | None) -> tuple[Home, Settings]:
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces._home import home_of

    settings = load_settings(files=config or [])
    return home_of(settings), settings


def _ledger(home: Home) -> Ledger:
    from bessemer.cluster.ledger import Ledger

    return Ledger.open(home.ledger_url)


def _find(ledger: Ledger, run: str) -> RunRow:
    from bessemer.cluster.errors import UsageError

    found = [row for row in ledger.runs(100_000) if row.run == run or row.run.startswith(run)]
    exact = [row for row in found if row.run == run] or found
    if len(exact) == 1:
        return exact[0]
    if not exact:
        raise UsageError(f"no run {run!r} in this folder; see `bessemer run list`")
    raise UsageError(f"{run!r} is the start of {len(exact)} runs; give more of the id")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found


def _show_list(rows: list[RunRow]) -> None:
    from bessemer.cluster.money import format_usd
    from bessemer.interfaces.cli._tables import show_table

    show_table(
        ("run", "pipeline", "status", "cost", "task"),
        [(row.run, row.pipeline, row.status, format_usd(row.charged), _task(row)) for row in rows],
        nothing='no runs yet: bessemer refine "TASK"',
        numbers=("cost",),
        whole=("run", "pipeline", "status", "cost"),
        cut=("task",),
    )


def _task(row: RunRow) -> str:
    return str((row.pins.get("plan") or {}).get("task", "(deleted)"))


def _show_run(row: RunRow, outcome: dict[str, Any] | None, directory: Path) -> None:
    from bessemer.cluster.money import format_usd
    from bessemer.interfaces.cli import _screen
    from bessemer.pipelines._base import pipeline_named

    print(f"{row.run}  {row.pipeline}  {row.status}")
    print(f"task: {_task(row)}")
    lost = f", {row.lost_in_flight} lost in flight" if row.lost_in_flight else ""
    print(f"calls: {row.calls}{lost}; charged {format_usd(row.charged)}, of it in doubt {format_usd(row.in_doubt)}")
    print(f"files: {directory}")
    if outcome is not None:
        _screen.last(pipeline_named(row.pipeline).outcome.model_validate(outcome))
