"""`bessemer refine` and `bessemer evaluate`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from bessemer.cluster.settings import Settings
    from bessemer.interfaces._prepare import Prepared

CRITERIA = "Criteria"
PLACE = "Where and how"
LIMITS = "Limits"

Criteria = Annotated[
    str | None, typer.Option("--criteria", help='Criteria in one string: "E1: …, E2: …".', rich_help_panel=CRITERIA)
]
CriteriaFile = Annotated[
    str | None, typer.Option("--criteria-file", help="JSON or YAML file with criteria.", rich_help_panel=CRITERIA)
]
CriteriaPreset = Annotated[
    str | None,
    typer.Option("--criteria-preset", help="A preset; see `criteria preset list`.", rich_help_panel=CRITERIA),
]
EvolveCriteria = Annotated[
    bool | None,
    typer.Option(
        "--evolve-criteria/--no-evolve-criteria",
        help="Raise criteria that are met, and go on.",
        show_default=False,
        rich_help_panel=CRITERIA,
    ),
]
Probes = Annotated[
    list[str] | None,
    typer.Option("--probe", help="A built-in probe or a command line; several, or repeated.", rich_help_panel=CRITERIA),
]
MaxRounds = Annotated[
    int | None, typer.Option("--max-rounds", min=1, max=100, help="Most rounds (3).", rich_help_panel=LIMITS)
]
Builders = Annotated[
    int | None, typer.Option("--builders", min=1, max=64, help="Tasks built at once (2).", rich_help_panel=LIMITS)
]
Candidates = Annotated[
    int | None,
    typer.Option("--candidates", min=1, max=32, help="Tries at one task, the best kept.", rich_help_panel=LIMITS),
]
BuildBackend = Annotated[
    str | None, typer.Option("--build-backend", help="The model that builds.", rich_help_panel=PLACE)
]
EvalBackends = Annotated[
    list[str] | None,
    typer.Option("--eval-backends", help="The models that judge, or `probes`.", rich_help_panel=PLACE),
]
Massgen = Annotated[
    bool,
    typer.Option("--massgen-orchestrated", help="Several judges as one MassGen process.", rich_help_panel=PLACE),
]
CostBudget = Annotated[
    str | None, typer.Option("--cost-budget", metavar="USD", help="Most dollars to spend.", rich_help_panel=LIMITS)
]
Account = Annotated[
    str | None,
    typer.Option("--budget-account", metavar="NAME", help="The account that pays too.", rich_help_panel=LIMITS),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        "--time-budget", metavar="DURATION", help="Most time to work: 90s, 10m, 1h30m.", rich_help_panel=LIMITS
    ),
]
Overnight = Annotated[
    bool,
    typer.Option("--overnight", help="Calls in the vendors' batches: cheaper, within a day.", rich_help_panel=LIMITS),
]
Priority = Annotated[
    float,
    typer.Option(
        "--priority",
        min=0.001,
        max=1000,
        metavar="X",
        help="Turns against other runs that wait for the same model.",
        rich_help_panel=LIMITS,
    ),
]
Python = Annotated[str | None, typer.Option("--python", help="The Python that probes run in.", rich_help_panel=PLACE)]
Config = Annotated[
    list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.", rich_help_panel=PLACE)
]
Address = Annotated[
    str, typer.Option("--address", help="Ray cluster to join, or ray://HOST:PORT.", rich_help_panel=PLACE)
]
NoSandbox = Annotated[
    bool, typer.Option("--no-sandbox", help="Run what models write without a sandbox.", rich_help_panel=PLACE)
]
Record = Annotated[
    Path | None,
    typer.Option("--record", metavar="DIR", help="Write every exchange with a model down.", rich_help_panel=PLACE),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan with its cost, and stop.")]


def refine(
    task: Annotated[str, typer.Argument(help="What is wanted.")],
    prior_answer: Annotated[
        str | None, typer.Option("--prior-answer", metavar="PATH", help="Work to improve; default: this folder.")
    ] = None,
    criteria: Criteria = None,
    criteria_file: CriteriaFile = None,
    criteria_preset: CriteriaPreset = None,
    evolve_criteria: EvolveCriteria = None,
    probe: Probes = None,
    max_rounds: MaxRounds = None,
    builders: Builders = None,
    candidates: Candidates = None,
    build_backend: BuildBackend = None,
    eval_backends: EvalBackends = None,
    massgen_orchestrated: Massgen = False,
    cost_budget: CostBudget = None,
    budget_account: Account = None,
    time_budget: TimeBudget = None,
    overnight: Overnight = False,
    priority: Priority = 1.0,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask at every checkpoint.")] = False,
    confirm_criteria: Annotated[bool, typer.Option("--confirm-criteria", help="Ask before building.")] = False,
    confirm_each_round: Annotated[bool, typer.Option("--confirm-each-round", help="Ask before each round.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write the result back if it is safe.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the warm cluster and return.")] = False,
    python: Python = None,
    config: Config = None,
    address: Address = "",
    no_sandbox: NoSandbox = False,
    record: Record = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Refine work round by round until it converges: build, guard, judge, hand off."""
    from bessemer.cluster.errors import UsageError
    from bessemer.interfaces._prepare import Request, prepare_refine
    from bessemer.interfaces.cli import _start

    settings = _start.settings_for(config, no_sandbox, record)
    request = Request(
        task=task,
        prior_answer=prior_answer,
        criteria=criteria,
        criteria_file=criteria_file,
        criteria_preset=criteria_preset,
        probes=probe or (),
        max_rounds=max_rounds,
        builders=builders,
        candidates=candidates,
        build_backend=build_backend,
        eval_backends=eval_backends or (),
        massgen=massgen_orchestrated,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        account=budget_account,
        time_budget=_start.seconds(time_budget, "--time-budget"),
        overnight=overnight,
        priority=priority,
        confirm_criteria=interactive or confirm_criteria,
        confirm_each_round=interactive or confirm_each_round,
        evolve_criteria=evolve_criteria,
        python=python,
    )
    if detach and apply:
        raise UsageError("--apply needs somebody who waits for the end; leave out --detach, or export the result later")
    prepared = prepare_refine(request, settings)
    go(prepared, settings, config, address=address, detach=detach, dry_run=dry_run, apply=apply, as_json=as_json)


def evaluate(
    path: Annotated[str, typer.Argument(help="A file or a folder to judge.")],
    task: Annotated[str, typer.Option("--task", help="What the work was meant to be.")] = "",
    criteria: Criteria = None,
    criteria_file: CriteriaFile = None,
    criteria_preset: CriteriaPreset = None,
    probe: Probes = None,
    eval_backends: EvalBackends = None,
    massgen_orchestrated: Massgen = False,
    cost_budget: CostBudget = None,
    budget_account: Account = None,
    time_budget: TimeBudget = None,
    overnight: Overnight = False,
    priority: Priority = 1.0,
    python: Python = None,
    config: Config = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Agree to the model and the cost without being asked.")
    ] = False,
    address: Address = "",
    no_sandbox: NoSandbox = False,
    record: Record = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Judge work once: verdict, critique and tasks. Nothing is built."""
    from bessemer.interfaces._prepare import Request, prepare_evaluate
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._consent import agree

    settings = _start.settings_for(config, no_sandbox, record)
    request = Request(
        task=task,
        prior_answer=path,
        criteria=criteria,
        criteria_file=criteria_file,
        criteria_preset=criteria_preset,
        probes=probe or (),
        eval_backends=eval_backends or (),
        massgen=massgen_orchestrated,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        account=budget_account,
        time_budget=_start.seconds(time_budget, "--time-budget"),
        overnight=overnight,
        priority=priority,
        python=python,
    )
    prepared = prepare_evaluate(request, settings)
    if not dry_run:
        agree(prepared, settings, config or [], said=bool(yes or config or eval_backends or settings.eval.backends))
    go(prepared, settings, config, address=address, dry_run=dry_run, as_json=as_json)


def go(
    prepared: Prepared,
    settings: Settings,
    config: list[Path] | None,
    *,
    address: str = "",
    detach: bool = False,
    dry_run: bool = False,
    apply: bool = False,
    as_json: bool = False,
) -> None:
    from bessemer.interfaces import _configurations as configurations
    from bessemer.interfaces.cli import _start

    print(f"configuration: {configurations.in_use(config or [])}", file=sys.stderr)
    for notice in prepared.notices:
        print(notice, file=sys.stderr)
    if dry_run:
        _start.show_plan(prepared, settings, as_json)
        return
    if config:
        configurations.remember(config)
    if as_json:
        print(json.dumps({"event": "launch", "run": prepared.spec.run, "pipeline": prepared.spec.pipeline}), flush=True)
    if detach:
        _start.start_detached(prepared, settings, address)
        return
    outcome: dict[str, Any] = asyncio.run(_start.run_to_end(prepared, settings, address, as_json))
    raise typer.Exit(_start.finish(outcome, prepared, as_json=as_json, apply=apply))


def estimate(
    words: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND…", help='A command as you would type it: refine "TASK" --builders 3.'),
    ],
    as_json: Json = False,
) -> None:
    """Say what a run may cost and take, before a cent is spent. The same as the command with --dry-run."""
    from bessemer.cluster.errors import UsageError
    from bessemer.interfaces.cli import _frame
    from bessemer.interfaces.cli.main import command

    if words[0] not in ("refine", "evaluate", "consensus", "backend", "plan", "spec", "criteria", "step"):
        raise UsageError(
            f"{words[0]!r} cannot be estimated; give refine, evaluate, consensus, plan new, plan run, spec new, step "
            "or backend check, and its flags"
        )
    asked = ["--dry-run", "--json"] if as_json else ["--dry-run"]
    raise typer.Exit(_frame.run([*words, *asked], command()))
