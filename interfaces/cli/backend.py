"""`bessemer backend`: which models can be reached from here, and what they cost."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from bessemer.interfaces._backends import BackendRow

app = typer.Typer(help="See which models can be reached, and what they cost.")

NUMBERS = ("$/M in", "$/M out", "context")

Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_backends(as_json=False)


@app.command("list")
def list_backends(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Only these; any provider/model.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List models: whether each can be used here, its prices for a million tokens, its context, what it can do.

    Where a warm cluster is up, also what its limiter grants each model now.
    """
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces._backends import backend_row, backend_rows

    settings = load_settings(files=config or [])
    rows = [backend_row(name, settings) for name in names] if names else backend_rows(settings)
    limits = _limits_now()
    if as_json:
        for row in rows:
            print(json.dumps({**row.model_dump(mode="json"), "limits": _of_model(limits, row.model)}))
        return
    _table(rows, limits)


@app.command()
def check(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Short names or provider/model.")],
    cost_budget: Annotated[str | None, typer.Option(metavar="USD", help="Most dollars to spend.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it may cost.")] = False,
    address: Annotated[str, typer.Option("--address", help="Ray cluster to join, or ray://HOST:PORT.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make one tiny real call to each, after saying what it costs."""
    import asyncio

    from bessemer.cluster.money import format_usd
    from bessemer.interfaces._prepare import prepare_check
    from bessemer.interfaces.cli import _screen, _start
    from bessemer.interfaces.cli._frame import say
    from bessemer.pipelines.check import CheckOutcome

    settings = _start.settings_for(config, False)
    prepared = prepare_check(names, _start.dollars(cost_budget, "--cost-budget"), settings)
    if dry_run:
        _start.show_plan(prepared, settings, as_json)
        return
    for notice in prepared.notices:
        say(notice)
    found = _start.estimate_of(prepared, settings)
    say(f"{len(names)} calls: expected {format_usd(found.cost)}, at most {format_usd(found.worst)}")
    ended = CheckOutcome.model_validate(asyncio.run(_start.run_to_end(prepared, settings, address, as_json)))
    if as_json:
        print(json.dumps({"event": "done", "exit_code": ended.exit_code, **ended.model_dump(mode="json")}))
    else:
        _screen.checked(ended)
    raise typer.Exit(ended.exit_code)


@app.command()
def login(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="claude-code, codex, gemini-cli or copilot.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Log in with an agent's own subscription, in a HOME kept for it. Its calls are unmetered: any cap refuses them."""
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces._agent_login import log_in
    from bessemer.interfaces.cli._frame import emit

    settings = load_settings(files=config or []).backends
    with _programs_write_to_stderr() if as_json else contextlib.nullcontext():
        code = log_in(agent, settings)
    if as_json:
        emit({"agent": agent.replace("_", "-"), "logged_in": code == 0, "exit_code": code})
    raise typer.Exit(code)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65534, help="HTTP port; 0 takes a free one.")] = 8700,
    xai_port: Annotated[int | None, typer.Option(min=0, max=65535, help="gRPC port; default: the next one.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="YAML file: what matches, what it answers.")] = None,
    seed: Annotated[int, typer.Option(help="Draws answers, faults and latency.")] = 0,
    latency: Annotated[str, typer.Option(help="Seconds, uniform:LOW-HIGH or lognormal:MEDIAN,SIGMA.")] = "0",
    fault: Annotated[list[str] | None, typer.Option(help="RATE:KIND[:SECONDS], such as 0.1:rate_limited.")] = None,
    rate: Annotated[str, typer.Option(help="Requests a second for each model: 50, or 100,50@30,100@60.")] = "",
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests in flight for each model.")] = None,
    hide_limits: Annotated[bool, typer.Option("--hide-limits", help="Send no rate headers.")] = False,
    batch_seconds: Annotated[float, typer.Option(min=0, help="How long a batch takes.")] = 1.0,
    batch_expires: Annotated[float, typer.Option(min=0, help="Seconds until a batch expires.")] = 86400.0,
    books: Annotated[Path | None, typer.Option(help="File that gets a JSON line for each request.")] = None,
    end_with_stdin: Annotated[bool, typer.Option("--end-with-stdin", help="End when standard input closes.")] = False,
    as_json: Json = False,
) -> None:
    """Speak the wire formats of Anthropic, OpenAI, Google and xAI on loopback, with their faults. Nothing is paid."""
    from bessemer.interfaces.simulator._server import run
    from bessemer.interfaces.simulator._settings import Settings

    settings = Settings(
        seed=seed,
        scenario=scenario,
        latency=latency,
        faults=tuple(fault or ()),
        rate=rate,
        concurrency=concurrency,
        show_limits=not hide_limits,
        batch_seconds=batch_seconds,
        batch_expires=batch_expires,
        books=books,
    )
    run(settings, port, xai_port, as_json=as_json, with_stdin=end_with_stdin)


@contextlib.contextmanager
def _programs_write_to_stderr() -> Iterator[None]:
    """Give programs that are started meanwhile stderr as their stdout, which is for records."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _limits_now() -> dict[str, dict[str, Any]]:
    """State of every limit on the warm cluster by its key, `provider/model@account`; empty where none is up."""
    from bessemer.cluster import ray_session
    from bessemer.interfaces.cli.cluster import describe_actors, limits_of

    if ray_session.warm_cluster() is None:
        return {}
    ray_session.join()
    try:
        return limits_of(describe_actors())
    finally:
        ray_session.leave()


def _of_model(limits: dict[str, dict[str, Any]], model: str) -> dict[str, dict[str, Any]]:
    """The limits of one model, one for each account."""
    return {key: state for key, state in limits.items() if key.rpartition("@")[0] == model}


def _table(rows: list[BackendRow], limits: dict[str, dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from bessemer.interfaces.cli.cluster import limit_table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("backend", "key", "$/M in", "$/M out", "context", "can"):
        table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=column != "can")
    for row in rows:
        abilities = {
            "images": row.images,
            "batch": row.batch,
            "no judge": not row.may_judge,
            "no tools": not row.tools,
            "no schema": not row.structured,
        }
        name = row.name if row.name == row.model else f"{row.name}\n  {row.model}"
        table.add_row(
            name,
            {True: "set", False: "missing", None: "none"}[row.key_present],
            row.input_price or "?",
            row.output_price or "?",
            f"{row.context // 1000}k" if row.context else "?",
            ", ".join(word for word, there in abilities.items() if there),
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    shown = {key: state for row in rows for key, state in _of_model(limits, row.model).items()}
    if shown:
        console.print(limit_table(shown))
    for row in rows:
        if row.why:
            console.print(f"{row.name}: {row.why}", soft_wrap=True)
