"""`bessemer spec`: specifications as living documents. What `plan` shows and compares, it shows and compares too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bessemer.interfaces.cli import plan as plans
from bessemer.interfaces.cli._frame import emit, say
from bessemer.interfaces.cli._modes import Backend, Context, Depth, Panel, Yes
from bessemer.interfaces.cli._options import Json
from bessemer.interfaces.cli.refine import (
    Account,
    Address,
    Config,
    CostBudget,
    CriteriaFile,
    CriteriaPreset,
    DryRun,
    TimeBudget,
)

app = typer.Typer(help="Make and check specifications: one EARS sentence for each requirement.")

app.command("show")(plans.show)
app.command("diff")(plans.diff)
app.command("adopt")(plans.adopt)


@app.command()
def new(
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="What has to be solved, and for whom.")],
    backend: Backend = None,
    backends: Panel = None,
    context: Context = None,
    criteria_file: CriteriaFile = None,
    criteria_preset: CriteriaPreset = None,
    depth: Depth = "dynamic",
    cost_budget: CostBudget = None,
    budget_account: Account = None,
    time_budget: TimeBudget = None,
    config: Config = None,
    address: Address = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Have a model write a specification. Every sentence is checked by pattern, and it is kept under plans/."""
    from bessemer.interfaces._prepare import Request
    from bessemer.interfaces._prepare_modes import DraftOptions
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._modes import depth_named, draft

    request = Request(
        task=problem,
        build_backend=backend,
        criteria_file=criteria_file,
        criteria_preset=criteria_preset,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        account=budget_account,
        time_budget=_start.seconds(time_budget, "--time-budget"),
    )
    options = DraftOptions(mode="spec", backends=backends or (), context=context or (), depth=depth_named(depth))
    draft(request, options, config, address=address, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def check(
    file: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Plans or specifications, as JSON.")],
    as_json: Json = False,
) -> None:
    """Check plans and specifications: every problem with its id. Exit code 2 if there is one."""
    from bessemer.pipelines.planning import check_document, kind_of, read_json

    wrong = 0
    for path in file:
        data = read_json(path)
        kind = kind_of(data)
        problems = [str(one) for one in check_document(kind, data).problems]
        wrong += len(problems)
        if as_json:
            emit({"file": str(path), "kind": kind, "valid": not problems, "problems": problems})
            continue
        for problem in problems:
            say(f"{path}: {problem}")
        if not problems:
            print(f"{path}: a sound {kind}")
    raise typer.Exit(2 if wrong else 0)
