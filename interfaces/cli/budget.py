"""`bessemer budget` and `bessemer ledger`: what was spent, what is in doubt, and what may be forgotten."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from bessemer.cluster.ledger import Ledger

app = typer.Typer(help="Show budgets and what is in doubt.")
doubts = typer.Typer(help="Calls that were lost in flight and stay charged at their worst case.")
ledger_app = typer.Typer(help="Move the ledger, and keep it small.")
app.add_typer(doubts, name="doubts")

Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show(as_json=False)


@app.command()
def show(as_json: Json = False, config: Config = None) -> None:
    """Every cap with what counts against it."""
    with _ledger(config) as ledger:
        scopes = ledger.scopes()
    if as_json:
        for scope in scopes:
            print(scope.model_dump_json())
        return
    from bessemer.interfaces.cli._tables import show_caps

    show_caps((one.scope, one.used, one.cap) for one in scopes)


@app.command("set")
def set_cap(
    scope: Annotated[str, typer.Argument(help="run:ID, day:YYYY-MM-DD, account:NAME or queue:NAME.")],
    usd: Annotated[str, typer.Argument(help="Dollars, or `none`.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Change a cap, or set one for a day, an account or a queue. One below what is used only stops new calls."""
    from bessemer.cluster.budget import check_scope
    from bessemer.cluster.errors import UsageError
    from bessemer.cluster.ledger import SetCap
    from bessemer.cluster.ledger.operations import Refusal
    from bessemer.cluster.money import parse_usd
    from bessemer.interfaces.cli._frame import emit

    cap = None if usd == "none" else parse_usd(usd, "cap")
    with _ledger(config) as ledger:
        known = {one.scope: one.version for one in ledger.scopes()}
        if scope not in known:
            check_scope(scope)
        (answer,) = ledger.apply([SetCap(scope=scope, cap=cap, version=known.get(scope, 0) + 1)])
    if isinstance(answer, Refusal):
        raise UsageError(answer.message)
    if as_json:
        emit({"scope": scope, "cap_micro_usd": cap})
    print(f"{scope} is capped at {usd}", file=sys.stderr)


@doubts.callback(invoke_without_command=True)
def doubts_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_doubts(as_json=False)


@doubts.command("list")
def list_doubts(as_json: Json = False, config: Config = None) -> None:
    """Every attempt in doubt, with what it is charged."""
    with _ledger(config) as ledger:
        rows = ledger.doubts()
    if as_json:
        for row in rows:
            print(row.model_dump_json())
        return
    from bessemer.cluster.money import format_usd
    from bessemer.interfaces.cli._tables import show_table

    held = [(row.attempt, format_usd(row.charge)) for row in rows]
    show_table(("attempt", "charged"), held, nothing="nothing is in doubt", numbers=("charged",))


@doubts.command()
def resolve(
    attempt: Annotated[str, typer.Argument(help="The attempt, as `doubts list` names it.")],
    cost: Annotated[str, typer.Option(metavar="USD", help="What the provider billed; 0 for nothing.")],
    evidence: Annotated[str, typer.Option(help="Where you saw it: an invoice line, a console page.")],
    by: Annotated[str, typer.Option(help="Who says so.")] = "",
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Say what a lost call cost. Audited, and refused while the vendor may still bill it."""
    from bessemer.cluster.errors import UsageError
    from bessemer.cluster.ledger import Resolve
    from bessemer.cluster.ledger.operations import AttemptStatus, Refusal
    from bessemer.cluster.money import format_usd, parse_usd
    from bessemer.interfaces.cli._frame import emit

    if not evidence.strip():
        raise UsageError("--evidence is empty; say where you saw what was billed")
    micro = 0 if cost.strip().lstrip("$") in ("0", "0.0", "0.00") else parse_usd(cost, "--cost")
    named = by or getpass.getuser()
    with _ledger(config) as ledger:
        (answer,) = ledger.apply([Resolve(attempt=attempt, cost=micro, evidence=evidence, by=named)])
    if isinstance(answer, Refusal):
        raise UsageError(answer.message)
    assert isinstance(answer, AttemptStatus)
    if (answer.state, answer.charge) != ("resolved", micro):
        raise UsageError(f"{attempt} is not in doubt: it is {answer.state}, charged at {format_usd(answer.charge)}")
    if as_json:
        emit({"attempt": attempt, "cost_micro_usd": micro, "evidence": evidence, "by": named})
    print(f"{attempt} is resolved at {format_usd(micro)}", file=sys.stderr)


@ledger_app.command()
def prune(
    older_than: Annotated[str, typer.Option(metavar="DURATION", help="Runs that ended longer ago: 30d, 12h.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Erase answers of old runs, never money."""
    from bessemer.cluster.settings import parse_duration
    from bessemer.interfaces.cli._frame import emit

    with _ledger(config) as ledger:
        erased = ledger.prune(parse_duration(older_than, "--older-than"))
    if as_json:
        emit({"erased_runs": erased})
    print(f"erased the answers of {erased} runs; their costs stay", file=sys.stderr)


@ledger_app.command()
def migrate(
    to: Annotated[str, typer.Option(metavar="URL", help="An empty database: postgresql+psycopg://… or sqlite:////…")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Move this folder's ledger to another database: all of it, checked, or nothing."""
    from bessemer.cluster.ledger import KeeperLock, move_ledger
    from bessemer.cluster.money import format_usd
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces._home import home_of

    home = home_of(load_settings(files=config or []))
    # A keeper that lives would go on with the old file.
    with KeeperLock(Path(home.state_dir) / "ledger.lock"):
        moved = move_ledger(home.ledger_url, to)
    if as_json:
        print(json.dumps(moved._asdict()))
    print(
        f"moved {sum(moved.rows.values())} rows with {format_usd(moved.charged)} of charges; now set ledger.url to the "
        "new database (the old one refuses work)",
        file=sys.stderr,
    )


def _ledger(config: list[Path] | None) -> Ledger:
    from bessemer.cluster.ledger import Ledger
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces._home import home_of

    return Ledger.open(home_of(load_settings(files=config or [])).ledger_url)
