"""`bessemer plan`: plans as living documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bessemer.interfaces.cli._frame import emit, say
from bessemer.interfaces.cli._modes import LIMITS, PLACE, Backend, Context, Depth, Panel, Yes
from bessemer.interfaces.cli._options import Json
from bessemer.interfaces.cli.refine import (
    Account,
    Address,
    Config,
    CostBudget,
    CriteriaFile,
    CriteriaPreset,
    DryRun,
    EvalBackends,
    NoSandbox,
    Probes,
    Python,
    TimeBudget,
)

if TYPE_CHECKING:
    from bessemer.pipelines.planning import PlanFolder

app = typer.Typer(help="Make plans, see how far they are and have drifted, and carry them out.")

Id = Annotated[str, typer.Argument(metavar="[PLAN]", help="A plan's id, a part of it, or its folder; default: newest.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_plans(as_json=False)


@app.command("list")
def list_plans(as_json: Json = False) -> None:
    """List the plans and specifications of this folder, newest last."""
    from bessemer.pipelines.planning import plans

    for folder in plans(plans_root()):
        about = folder.metadata
        if as_json:
            emit(about.model_dump(mode="json"))
        else:
            goal = " ".join((about.planning_prompt or "").split())[:60]
            print(f"{about.plan_id}  {about.artifact_type:<4}  {about.status:<9}  r{about.plan_revision}  {goal}")


@app.command()
def new(
    goal: Annotated[str, typer.Argument(metavar="GOAL", help="What is to be reached.")],
    backend: Backend = None,
    backends: Panel = None,
    context: Context = None,
    criteria_file: CriteriaFile = None,
    criteria_preset: CriteriaPreset = None,
    depth: Depth = "dynamic",
    chunks: Annotated[int | None, typer.Option("--chunks", min=1, max=100, help="How many chunks.")] = None,
    cost_budget: CostBudget = None,
    budget_account: Account = None,
    time_budget: TimeBudget = None,
    config: Config = None,
    address: Address = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Have a model write a plan. It is checked as a whole, corrected once, and kept under plans/."""
    from bessemer.interfaces._prepare import Request
    from bessemer.interfaces._prepare_modes import DraftOptions
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._modes import depth_named, draft

    request = Request(
        task=goal,
        build_backend=backend,
        criteria_file=criteria_file,
        criteria_preset=criteria_preset,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        account=budget_account,
        time_budget=_start.seconds(time_budget, "--time-budget"),
    )
    options = DraftOptions(
        mode="plan", backends=backends or (), context=context or (), depth=depth_named(depth), chunks=chunks
    )
    draft(request, options, config, address=address, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def run(
    plan: Id = "",
    prior_answer: Annotated[
        str | None, typer.Option("--prior-answer", metavar="PATH", help="Work to begin with; default: this folder.")
    ] = None,
    criteria_file: CriteriaFile = None,
    criteria_preset: CriteriaPreset = None,
    probe: Probes = None,
    build_backend: Annotated[
        str | None, typer.Option("--build-backend", help="The model that builds.", rich_help_panel=PLACE)
    ] = None,
    eval_backends: EvalBackends = None,
    max_rounds: Annotated[int | None, typer.Option(min=1, max=100, help="Most rounds a try.")] = None,
    max_mutations: Annotated[int, typer.Option(min=0, max=20, help="Most changes of a chunk's plan.")] = 3,
    builders: Annotated[int | None, typer.Option(min=1, max=64, help="Tasks built at once (2).")] = None,
    cost_budget: CostBudget = None,
    budget_account: Account = None,
    time_budget: TimeBudget = None,
    chunk_time_budget: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Most time for one try.", rich_help_panel=LIMITS)
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Ask where the plan may not change again.")
    ] = False,
    to: Annotated[Path | None, typer.Option("--to", metavar="PATH", help="Copy the work to a new folder.")] = None,
    python: Python = None,
    config: Config = None,
    address: Address = "",
    no_sandbox: NoSandbox = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Carry a plan out, chunk by chunk: refine, judge, change the plan where it has to change."""
    from bessemer.cluster.errors import UsageError
    from bessemer.interfaces._prepare import Request
    from bessemer.interfaces._prepare_modes import prepare_execute
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._modes import run_and_return

    if to is not None and to.exists():
        raise UsageError(f"--to {str(to)!r} exists; give a new folder")
    settings = _start.settings_for(config, no_sandbox)
    request = Request(
        prior_answer=prior_answer,
        criteria_file=criteria_file,
        criteria_preset=criteria_preset,
        probes=probe or (),
        build_backend=build_backend,
        eval_backends=eval_backends or (),
        max_rounds=max_rounds,
        builders=builders,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        account=budget_account,
        time_budget=_start.seconds(time_budget, "--time-budget"),
        confirm_each_round=interactive,
        python=python,
    )
    seconds = _start.seconds(chunk_time_budget, "--chunk-time-budget")
    prepared = prepare_execute(_found(plan), request, settings, max_mutations=max_mutations, chunk_seconds=seconds)
    if dry_run:
        _start.show_plan(prepared, settings, as_json)
        return
    outcome = run_and_return(prepared, settings, config, address=address, as_json=as_json)
    if to is not None and outcome.get("result"):
        shutil.copytree(outcome["result"], to, symlinks=True)
        say(f"the work is in {to}")
    raise typer.Exit(_start.finish(outcome, prepared, as_json=as_json))


@app.command()
def show(
    plan: Id = "",
    frozen: Annotated[bool, typer.Option("--frozen", help="As it was agreed on.")] = False,
    as_json: Json = False,
) -> None:
    """Show a plan or a specification, chunk by chunk; --frozen as it was agreed on."""
    from bessemer.interfaces.cli import _plan_screen as screen

    folder = _found(plan)
    document = folder.read("frozen" if frozen else "workspace")
    if as_json:
        emit(document.model_dump(mode="json"))
        return
    screen.show(document, folder.metadata)


@app.command()
def diff(plan: Id = "", as_json: Json = False) -> None:
    """Say how far the living document has moved from the frozen one, and where. Exit code 1 if it has drifted."""
    from bessemer.interfaces.cli import _plan_screen as screen

    found = _found(plan).diff()
    if as_json:
        emit(found)
    else:
        screen.diff(found)
    raise typer.Exit(1 if found.where else 0)


@app.command()
def status(plan: Id = "", as_json: Json = False) -> None:
    """Say how far the work is: chunks, tasks, attempts, and the last events of the log."""
    from bessemer.interfaces.cli import _plan_screen as screen

    folder = _found(plan)
    if as_json:
        log = folder.log()
        emit({**screen.progress(folder), "events": [one.model_dump() for one in log.events], "torn_lines": log.torn})
    else:
        screen.status(folder)


@app.command()
def checkpoint(
    plan: Id = "",
    reason: Annotated[str, typer.Option("--reason", help="Why now; written into the log.")] = "asked for",
    as_json: Json = False,
) -> None:
    """Keep the living document as it is now, and write its drift into the log."""
    folder = _found(plan)
    copy = folder.checkpoint(reason)
    found = folder.diff()
    if as_json:
        emit({"plan": folder.id, "file": str(copy), "divergence_score": found.divergence_score, "drift": found.drift})
    else:
        say(f"kept as {copy}; drift {found.drift:.2f}")


@app.command()
def adopt(
    plan: Annotated[str, typer.Argument(metavar="PLAN|FILE", help="A plan whose drift is agreed to, or a file.")],
    goal: Annotated[str, typer.Option("--goal", help="What a plan from a file is for.")] = "",
    as_json: Json = False,
) -> None:
    """Freeze a plan's living document as its next revision, or take in a plan or specification made elsewhere."""
    from bessemer.pipelines.planning import create, read_document

    if Path(plan).is_file():
        document = read_document(Path(plan))
        folder = create(plans_root(), document, planning_prompt=goal or None)
        about = folder.metadata
    else:
        folder = _found(plan)
        about = folder.adopt()
    if as_json:
        emit(about.model_dump(mode="json"))
    else:
        say(f"{folder.id} is frozen as revision {about.plan_revision}: {folder.path}")


@app.command()
def tasks(
    plan: Id = "",
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write them there.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Leave out what is done.")] = False,
    as_json: Json = False,
) -> None:
    """Export the tasks for an agent's own list: in order, each with its verification. --json or --to as JSON."""
    from bessemer.cluster.files import write_atomic
    from bessemer.interfaces.cli import _plan_screen as screen

    rows = screen.task_rows(_found(plan).plan(), open_only=open_only)
    if to is not None:
        write_atomic(to, (json.dumps({"tasks": rows}, indent=2, ensure_ascii=False) + "\n").encode())
        if as_json:
            emit({"to": str(to.resolve()), "tasks": len(rows)})
        say(f"{len(rows)} tasks written to {to}")
        return
    for row in rows:
        if as_json:
            emit(row)
        else:
            screen.task_line(row)


@app.command()
def delete(
    plan: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a plan's folder."""
    from bessemer.interfaces.cli._questions import confirmed

    folder = _found(plan)
    if not yes and not confirmed(f"Delete {folder.path}?"):
        raise typer.Exit(130)
    shutil.rmtree(folder.path)
    if as_json:
        emit({"plan": folder.id, "deleted": True})
    say(f"deleted {folder.id}")


def plans_root() -> Path:
    """Where this project's plans are: `plans/` in its state directory."""
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces import _work

    return _work.plans_root(load_settings())


def _found(name: str) -> PlanFolder:
    from bessemer.pipelines.planning import find

    return find(plans_root(), name)
