"""`bessemer backend`: which models can be reached from here, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="See which models can be reached, and what they cost.")

Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]
Json = Annotated[bool, typer.Option("--json", help="Records on stdout, people's text on stderr.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_backends(config=None, as_json=False)


@app.command("list")
def list_backends(config: Config = None, as_json: Json = False) -> None:
    """List the short names, the models behind them, and whether each can be used here."""
    from bessemer.actors.backends import short_names
    from bessemer.cluster.settings import load_settings

    settings = load_settings(files=config or [])
    rows = [_row(name, model, settings) for name, model in short_names(settings.backends).items()]
    _print(rows, as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A short name or provider/model.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show one model: its full name, whether it can be used, what it can do. Nothing is called."""
    from bessemer.actors.backends import capabilities, resolve_name, short_names
    from bessemer.cluster.settings import load_settings

    settings = load_settings(files=config or [])
    full = resolve_name(name, short_names(settings.backends))
    row = {**_row(name, full, settings), **capabilities(full, settings.backends)._asdict()}
    _print([row], as_json)


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
    run(settings, port, xai_port, as_json=as_json)


def _row(name: str, model: str, settings: Any) -> dict[str, Any]:
    from bessemer.actors.backends import check_keys
    from bessemer.cluster.errors import BessemerError
    from bessemer.cluster.prices import load_prices

    free = frozenset({"openai-compatible"}) if settings.backends.compatible.free else frozenset[str]()
    row: dict[str, Any] = {"name": name, "model": model, "usable": True, "why": ""}
    try:
        check_keys(model, settings.backends)
        load_prices(settings.prices, free=free).require(model)
    except BessemerError as error:
        row |= {"usable": False, "why": error.message}
    return row


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    width = max((len(str(row["name"])) for row in rows), default=0)
    for row in rows:
        able = [word for word in ("tools", "may_judge", "structured", "images") if row.get(word)]
        told = "ready" if row["usable"] else row["why"]
        print(f"{row['name']:<{width}}  {row['model']:<40}  {told}" + (f"  ({', '.join(able)})" if able else ""))
