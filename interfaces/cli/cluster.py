"""`bessemer cluster`: the warm local cluster, and who does what on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from bessemer.cluster.ray_session import WarmCluster

app = typer.Typer(help="Keep a local cluster warm, and see what its hosts are doing.", no_args_is_help=False)

DESCRIBE_SECONDS = 10.0
SHOWN_RUNS = 8


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        status(address="", as_json=False)


@app.command()
def up(
    num_cpus: Annotated[int | None, typer.Option(min=1, help="Cores to use; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Start a local cluster that stays, so that runs begin at once."""
    from bessemer.cluster import ray_session

    before = ray_session.warm_cluster()
    warm = before or ray_session.start_warm(num_cpus)
    if as_json:
        print(json.dumps(warm._asdict()))
    print(f"{'already up' if before else 'up'} at {warm.address}", file=sys.stderr)


@app.command()
def down(as_json: Json = False) -> None:
    """End the warm cluster; its runs can be resumed."""
    from bessemer.cluster import ray_session
    from bessemer.interfaces.cli._frame import emit

    was_up = ray_session.stop_warm()
    if as_json:
        emit({"was_up": was_up})
    print("down" if was_up else "no warm cluster was up", file=sys.stderr)


@app.command()
def status(
    address: Annotated[str, typer.Option("--address", help="Address of another Ray cluster.")] = "",
    as_json: Json = False,
) -> None:
    """Name every actor and what it hosts; show every model's limits and what counts against caps."""
    from bessemer.cluster import ray_session

    warm = ray_session.warm_cluster()
    if not (address or warm):
        if as_json:
            print(json.dumps({"up": False, "actors": []}))
        print("no warm cluster is up; start one with: bessemer cluster up", file=sys.stderr)
        return
    ray_session.join(address)
    try:
        rows = describe_actors()
    finally:
        ray_session.leave()
    if as_json:
        print(json.dumps({"up": True, "address": address or _address(warm), "actors": rows}))
        return
    _show(address or _address(warm), rows)


@app.command()
def doctor(
    address: Annotated[str, typer.Option("--address", help="Address of another Ray cluster.")] = "",
    config: Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")] = None,
    as_json: Json = False,
) -> None:
    """Check nodes, hosts, ledger and lake, and say what to mend. Ends with 5 where something is wrong."""
    from bessemer.cluster import ray_session
    from bessemer.cluster.environment import Row
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces import _cluster_doctor as look
    from bessemer.interfaces._home import home_of
    from bessemer.interfaces.cli._frame import emit

    settings = load_settings(files=config or [])
    home = home_of(settings)
    where = address or settings.cluster.address
    rows = [*look.own_rows(), *look.store_rows(home)]
    if where or ray_session.warm_cluster():
        ray_session.join(where)
        try:
            rows += [*look.node_rows(home), *look.actor_rows(describe_actors())]
        finally:
            ray_session.leave()
    else:
        remedy = "start one with `bessemer cluster up`, or name one with --address"
        rows.append(Row(name="cluster", state="note", found="none is up; a run starts a private one", remedy=remedy))
    for row in rows:
        if as_json:
            emit(row)
        else:
            mark = "MISSING" if row.state == "missing" else row.state
            print(f"{mark:<8}{row.name}: {row.found}" + (f"\n        -> {row.remedy}" if row.remedy else ""))
    raise typer.Exit(5 if any(row.state == "missing" for row in rows) else 0)


def _address(warm: WarmCluster | None) -> str:
    return warm.address if warm else ""


def describe_actors() -> list[dict[str, Any]]:
    """Every host of every home on this cluster, described by itself."""
    import ray

    from bessemer.actors._wire import decode

    named = ray.util.list_named_actors(all_namespaces=True)
    ours = [one for one in named if one["namespace"].startswith("bessemer-")]
    rows = []
    for one in sorted(ours, key=lambda one: (one["namespace"], one["name"])):
        row: dict[str, Any] = {"actor": one["name"], "home": one["namespace"].rpartition("-")[2]}
        try:
            handle = ray.get_actor(one["name"], namespace=one["namespace"])
            answer = decode(ray.get(handle.describe.remote(b"{}"), timeout=DESCRIBE_SECONDS))
            row |= answer.get("ok") or {"problem": answer.get("message", "")}
            if one["name"] == "ledger":
                told = decode(ray.get(handle.budgets.remote(b"{}"), timeout=DESCRIBE_SECONDS))
                row["budgets"] = told.get("ok", [])
        except (ray.exceptions.RayError, ValueError) as error:
            row["problem"] = str(error).splitlines()[0][:120]
        rows.append(row)
    return rows


def _show(address: str, rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from bessemer.interfaces.cli._tables import show_caps

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("actor", "machine", "home", "pid", "hosts"):
        table.add_column(column, overflow="fold")
    for row in rows:
        hosts = _carried(row) or row.get("problem", "idle")
        table.add_row(row["actor"], row.get("node", "-"), row["home"], str(row.get("pid", "-")), hosts)
    console = Console(highlight=False)
    console.print(f"cluster at {address}", markup=False)
    console.print(table if rows else "no hosts yet: they start with the first run")
    if limits := limits_of(rows):
        console.print(limit_table(limits))
    if budgets := [budget for row in rows for budget in row.get("budgets", ())]:
        show_caps((one["scope"], one["used"], one["cap"]) for one in budgets)


def _carried(row: dict[str, Any]) -> str:
    """What a host has in hand; of many runs only the first, because a host may carry a thousand."""
    names = list(map(str, row.get("hosts", [])))
    if "room" not in row or not names:
        return ", ".join(names)
    more = ", …" if len(names) > SHOWN_RUNS else ""
    return f"{len(names)} of {row['room']} runs: {', '.join(names[:SHOWN_RUNS])}{more}"


def limits_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """State of every limit by key: the cluster's as its limiter says it, others as their hosts do."""
    ordered = sorted(rows, key=lambda row: row["actor"] == "limiter")
    return {key: state for row in ordered for key, state in row.get("limits", {}).items()}


def limit_table(limits: dict[str, dict[str, Any]]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("limit of", "in flight", "waiting", "requests/s", "breaker", "last 429", "runs"):
        table.add_column(column, overflow="fold")
    for key, state in sorted(limits.items()):
        rate, throttled = state["rate"], state["last_throttled"]
        table.add_row(
            key,
            f"{state['in_flight']} of {int(state['limit'])}",
            str(state["waiting"]),
            "unpaced" if rate is None else f"{rate:.1f}",
            state["breaker"].replace("_", " "),
            "never" if throttled is None else f"{throttled:.0f} s ago",
            ", ".join(_flow(name, flow) for name, flow in state["flows"].items()) or "none",
        )
    return table


def _flow(name: str, flow: dict[str, Any]) -> str:
    weight = "" if flow["weight"] == 1 else f" x{flow['weight']:g}"
    return f"{name}{weight}: {flow['in_flight']} + {flow['waiting']}"
