"""`bessemer criteria`: what work can be judged by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bessemer.interfaces.cli._frame import emit, say
from bessemer.interfaces.cli._modes import Backend
from bessemer.interfaces.cli._options import Json
from bessemer.interfaces.cli.refine import Address, Config, CostBudget, DryRun, TimeBudget

if TYPE_CHECKING:
    from bessemer.actors.judging.types import CriteriaSet
    from bessemer.cluster.settings import Settings
    from bessemer.interfaces._prepare import Prepared

app = typer.Typer(help="See, write and check criteria.")
preset = typer.Typer(help="Sets of criteria by name, and checks of your own.")
app.add_typer(preset, name="preset")


@preset.command("list")
def list_presets(as_json: Json = False) -> None:
    """List the presets: how many criteria each has, and what it is for."""
    from bessemer.actors.judging import load_preset, preset_about, preset_names

    for name in preset_names():
        count, about = len(load_preset(name).criteria), preset_about(name)
        if as_json:
            emit({"preset": name, "criteria": count, "about": about})
        else:
            print(f"{name:<24} {count}  {about}")


@preset.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A preset.")], as_json: Json = False) -> None:
    """Show a preset. With --json it is a criteria file that you may change and give to --criteria-file."""
    from bessemer.actors.judging import load_preset

    found = load_preset(name)
    if as_json:
        print(json.dumps(criteria_file(found), ensure_ascii=False))
        return
    show_criteria(found)


@preset.command()
def generate(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What the work is for.")],
    folder: Annotated[str, typer.Option("--folder", metavar="PATH", help="A folder to look at first.")] = "",
    backend: Backend = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write a criteria file.")] = None,
    cost_budget: CostBudget = None,
    time_budget: TimeBudget = None,
    config: Config = None,
    address: Address = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Have a model write three to seven criteria for a task."""
    from bessemer.interfaces._prepare import Request
    from bessemer.interfaces._prepare_modes import prepare_criteria
    from bessemer.interfaces.cli import _start

    settings = _start.settings_for(config, no_sandbox=False)
    request = Request(
        task=task,
        build_backend=backend,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        time_budget=_start.seconds(time_budget, "--time-budget"),
    )
    prepared = prepare_criteria(request, folder, settings)
    _have_written(prepared, settings, config, out, address=address, dry_run=dry_run, as_json=as_json)


@app.command()
def evolve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The criteria file that the work meets.")],
    from_run: Annotated[
        str, typer.Option("--from", metavar="RUN", help="The run that met them: its task, scores and work.")
    ] = "",
    task: Annotated[str, typer.Option("--task", help="What the work is for, without --from.")] = "",
    folder: Annotated[str, typer.Option("--folder", metavar="PATH", help="The work, without --from.")] = "",
    backend: Backend = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write a criteria file.")] = None,
    cost_budget: CostBudget = None,
    time_budget: TimeBudget = None,
    config: Config = None,
    address: Address = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Have a model write the next, harder version of criteria that are met. Code checks it."""
    from bessemer.actors.judging import load_file
    from bessemer.cluster.errors import UsageError
    from bessemer.interfaces._met_criteria import Met, met_in
    from bessemer.interfaces._prepare import Request
    from bessemer.interfaces._prepare_modes import prepare_criteria
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli.run import directory_of

    settings = _start.settings_for(config, no_sandbox=False)
    criteria = load_file(file)
    if not from_run and not task.strip():
        raise UsageError('say what the work is for: --from RUN, or --task "TEXT"')
    met = met_in(*directory_of(from_run), criteria) if from_run else Met("", {}, "")
    request = Request(
        task=task or met.task,
        build_backend=backend,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        time_budget=_start.seconds(time_budget, "--time-budget"),
    )
    prepared = prepare_criteria(request, folder or met.folder, settings, criteria, met.scores)
    _have_written(prepared, settings, config, out, address=address, dry_run=dry_run, as_json=as_json)


@preset.command()
def validate(
    file: Annotated[list[Path], typer.Argument(metavar="FILE…", help="JSON or YAML files with criteria.")],
    as_json: Json = False,
) -> None:
    """Check criteria files: every problem with its line and column. Exit code 2 if there is one."""
    from bessemer.actors.judging import file_problems, load_file

    wrong = 0
    for path in file:
        problems = file_problems(path)
        wrong += len(problems)
        if as_json:
            emit({"file": str(path), "valid": not problems, "problems": problems})
            continue
        for problem in problems:
            say(problem)
        if not problems:
            found = load_file(path)
            print(f"{path}: {len(found.criteria)} criteria, {_musts(found)} of them must")
    raise typer.Exit(2 if wrong else 0)


def _have_written(
    prepared: Prepared,
    settings: Settings,
    config: list[Path] | None,
    out: Path | None,
    *,
    address: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run to the end, write or show the criteria, and leave with the run's exit code."""
    from bessemer.cluster.files import write_atomic
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._modes import run_and_return
    from bessemer.pipelines.write_criteria import WriteCriteriaOutcome

    if dry_run:
        _start.show_plan(prepared, settings, as_json)
        return
    raw = run_and_return(prepared, settings, config, address=address, as_json=as_json)
    found = WriteCriteriaOutcome.model_validate(raw).criteria
    if found is not None:
        if out is not None:
            write_atomic(out, (json.dumps(criteria_file(found), indent=2, ensure_ascii=False) + "\n").encode())
            say(f"written to {out}")
        elif not as_json:
            show_criteria(found)
    raise typer.Exit(_start.finish(raw, prepared, as_json=as_json))


def criteria_file(criteria: CriteriaSet) -> dict[str, object]:
    """A set as its file has it: without what is empty, and without where it came from."""
    items = [{key: value for key, value in one.model_dump(mode="json").items() if value} for one in criteria.criteria]
    return {"aspiration": criteria.aspiration, "criteria": items}


def show_criteria(criteria: CriteriaSet) -> None:
    """Print a set for people."""
    if criteria.aspiration:
        print(criteria.aspiration)
    for one in criteria.criteria:
        print(f"\n{one.id} [{one.category}] {one.text}")
        if one.verify_by:
            print(f"   verify by: {one.verify_by}")
        for pattern in one.anti_patterns:
            print(f"   not: {pattern}")
        for score, anchor in sorted(one.score_anchors.items(), key=lambda item: int(item[0])):
            print(f"   {score:>2}: {anchor}")


def _musts(criteria: CriteriaSet) -> int:
    return sum(one.category == "must" for one in criteria.criteria)
