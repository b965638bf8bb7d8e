"""`bessemer queue`: tasks that are added by day and run unattended by night."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bessemer.interfaces.cli import refine as flags
from bessemer.interfaces.cli._options import Json

app = typer.Typer(help="Add tasks, run them unattended, and read what came of them.")

Queue = Annotated[str, typer.Option("--queue", "-q", metavar="NAME", help="The queue.")]
Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Tasks, or the start of their ids.")]
DEFAULT = "default"


def _refuse(parameter: typer.CallbackParam, value: bool | str) -> None:
    from bessemer.cluster.errors import UsageError
    from bessemer.interfaces.queue._entries import ATTENDED

    if value:
        why = ATTENDED[str(parameter.name)]
        raise UsageError(f"{parameter.opts[0]} is no flag of a task: {why}; nothing was added")


def _attended(flag: str) -> Any:
    """A flag of `refine` that is refused with the reason, where the parser would call it unknown."""
    return typer.Option(flag, hidden=True, callback=_refuse)


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_tasks(queue="", as_json=False)


@app.command()
def add(
    tasks: Annotated[list[str] | None, typer.Argument(metavar="TASK…", help="What to achieve, one task each.")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE", help="JSON lines: a task and its flags each; - is standard input."),
    ] = None,
    queue: Queue = DEFAULT,
    again: Annotated[bool, typer.Option("--again", help="Add tasks even if equal ones are there.")] = False,
    prior_answer: Annotated[
        str | None, typer.Option("--prior-answer", metavar="PATH", help="File or folder to start from: this folder.")
    ] = None,
    criteria: flags.Criteria = None,
    criteria_file: flags.CriteriaFile = None,
    criteria_preset: flags.CriteriaPreset = None,
    evolve_criteria: flags.EvolveCriteria = None,
    probe: flags.Probes = None,
    max_rounds: flags.MaxRounds = None,
    builders: flags.Builders = None,
    candidates: flags.Candidates = None,
    build_backend: flags.BuildBackend = None,
    eval_backends: flags.EvalBackends = None,
    massgen_orchestrated: flags.Massgen = False,
    cost_budget: flags.CostBudget = None,
    budget_account: flags.Account = None,
    time_budget: flags.TimeBudget = None,
    overnight: flags.Overnight = False,
    priority: Annotated[
        float | None,
        typer.Option(
            "--priority",
            min=0.001,
            max=1000,
            metavar="X",
            help="Highest first; also its turns at a model, where other runs have 1 (0.1).",
            rich_help_panel=flags.LIMITS,
        ),
    ] = None,
    python: flags.Python = None,
    config: flags.Config = None,
    no_sandbox: flags.NoSandbox = False,
    record: flags.Record = None,
    as_json: Json = False,
    interactive: Annotated[bool, _attended("--interactive")] = False,
    confirm_criteria: Annotated[bool, _attended("--confirm-criteria")] = False,
    confirm_each_round: Annotated[bool, _attended("--confirm-each-round")] = False,
    apply: Annotated[bool, _attended("--apply")] = False,
    detach: Annotated[bool, _attended("--detach")] = False,
    address: Annotated[str, _attended("--address")] = "",
    dry_run: Annotated[bool, _attended("--dry-run")] = False,
) -> None:
    """Add tasks, checked now as `refine` would check them. What is there already is not added twice."""
    from bessemer.interfaces.cli import _queue

    given = {
        "prior_answer": prior_answer,
        "criteria": criteria,
        "criteria_file": criteria_file,
        "criteria_preset": criteria_preset,
        "evolve_criteria": evolve_criteria,
        "probe": probe,
        "max_rounds": max_rounds,
        "builders": builders,
        "candidates": candidates,
        "build_backend": build_backend,
        "eval_backends": eval_backends,
        "massgen_orchestrated": massgen_orchestrated or None,
        "cost_budget": cost_budget,
        "budget_account": budget_account,
        "time_budget": time_budget,
        "overnight": overnight or None,
        "priority": priority,
        "python": python,
        "record": None if record is None else str(record),
    }
    _queue.add(queue, tasks or [], from_, given, config, no_sandbox=no_sandbox, again=again, as_json=as_json)


@app.command("list")
def list_tasks(
    queue: Annotated[str, typer.Option("--queue", "-q", metavar="NAME", help="The queue; default: all.")] = "",
    state: Annotated[str, typer.Option("--state", help="queued, running, done, failed, blocked or cancelled.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most tasks of each queue.")] = 50,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List queues and their tasks, in the order they run."""
    from bessemer.interfaces.cli import _queue

    _queue.show(queue, state, limit, config, as_json=as_json)


@app.command()
def run(
    queue: Queue = DEFAULT,
    parallel: Annotated[int | None, typer.Option(min=1, max=1024, help="Tasks at once (4).")] = None,
    cost_budget: Annotated[
        str | None, typer.Option("--cost-budget", metavar="USD", help="Most dollars the queue may spend in all.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Stop at 07:00, or at 2026-11-22T07:00.")
    ] = None,
    config: Config = None,
    address: flags.Address = "",
    no_sandbox: flags.NoSandbox = False,
    as_json: Json = False,
) -> None:
    """Run the queue until it is empty, stopped, out of time or out of money, and write its report.

    Ends with 0 where every task that ended met its criteria, 1 where one did not, 3 where one needs a person or time
    ran out, 4 where the queue's or the day's budget did, 5 where one failed for reasons of the machine, 130 where it
    was stopped.
    """
    from bessemer.interfaces.cli import _queue_run

    code = _queue_run.run(
        queue, parallel, cost_budget, until, config, address=address, no_sandbox=no_sandbox, as_json=as_json
    )
    raise typer.Exit(code)


@app.command()
def stop(queue: Queue = DEFAULT, config: Config = None, as_json: Json = False) -> None:
    """Start no further task; those under way stop at their next step and go on with `queue resume`."""
    from bessemer.cluster.ledger import StopQueue
    from bessemer.interfaces.cli import _queue
    from bessemer.interfaces.cli._frame import emit

    with _queue.open_ledger(config) as ledger:
        _queue.asked(ledger, StopQueue(queue=queue, stopped=True))
    if as_json:
        emit({"queue": queue, "stopped": True})
    print(f"queue {queue} is stopped; let it go on with: bessemer queue resume --queue {queue}", file=sys.stderr)


@app.command()
def resume(tasks: Ids = None, queue: Queue = DEFAULT, config: Config = None, as_json: Json = False) -> None:
    """Lift a stop; or put failed, blocked and cancelled tasks back, to go on where they were."""
    from bessemer.interfaces.cli import _queue

    _queue.resume(queue, tasks or [], config, as_json=as_json)


@app.command()
def remove(
    tasks: Annotated[list[str], typer.Argument(metavar="ID…", help="Tasks, or the start of their ids.")],
    queue: Queue = DEFAULT,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take tasks out of the queue. They stay on record, with what they cost."""
    from bessemer.interfaces.cli import _queue

    _queue.mark(queue, tasks, "cancelled", config, as_json=as_json)


@app.command()
def report(
    queue: Queue = DEFAULT,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Write the pages there.")] = None,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="You have seen why the queue is degraded.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """What ran, how it ended, what it cost and what waits for you: JSON, Markdown and one page for a browser."""
    from bessemer.interfaces.cli import _queue

    _queue.report(queue, to, config, acknowledge=acknowledge, as_json=as_json)
