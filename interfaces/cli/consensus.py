"""`bessemer consensus`: several models answer, vote on what the others answered, and code decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bessemer.interfaces.cli._modes import Yes
from bessemer.interfaces.cli._options import Json
from bessemer.interfaces.cli.refine import (
    LIMITS,
    PLACE,
    Account,
    Address,
    Config,
    CostBudget,
    Criteria,
    CriteriaFile,
    CriteriaPreset,
    DryRun,
    Massgen,
    NoSandbox,
    Overnight,
    Record,
    TimeBudget,
)

SHOWN = "What agents are shown"
DECIDING = "Deciding"

Backends = Annotated[
    list[str] | None, typer.Option("--backends", help="The agents, one for each backend.", rich_help_panel=DECIDING)
]
Mode = Annotated[str, typer.Option("--mode", help="general, evaluate, plan or spec.", rich_help_panel=DECIDING)]
Rule = Annotated[str, typer.Option("--rule", help="majority, weighted, ranked or unanimous.", rich_help_panel=DECIDING)]
Quorum = Annotated[
    int | None,
    typer.Option("--quorum", min=1, help="Fewest votes (more than half).", rich_help_panel=DECIDING),
]
Policy = Annotated[str, typer.Option("--policy", help="default, massgen or sequential.", rich_help_panel=DECIDING)]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tolerance",
        min=0.001,
        max=0.49,
        help="Sequential: share of right answers it may lose, against one answer of each.",
        rich_help_panel=DECIDING,
    ),
]
Pace = Annotated[str, typer.Option("--pace", help="fast, or thrifty: ask few at once.", rich_help_panel=DECIDING)]
MaxRounds = Annotated[int, typer.Option("--max-rounds", min=1, max=3, help="Most rounds.", rich_help_panel=LIMITS)]
Context = Annotated[
    Path | None, typer.Option("--context", metavar="FILE", help="Text for every agent.", rich_help_panel=SHOWN)
]
Artifacts = Annotated[
    list[Path] | None, typer.Option("--artifacts", help="Files and folders; several.", rich_help_panel=SHOWN)
]
Focus = Annotated[str, typer.Option("--focus", help="What to look at above all.", rich_help_panel=SHOWN)]
PromptFile = Annotated[
    Path | None, typer.Option("--prompt-file", metavar="FILE", help="The task.", rich_help_panel=SHOWN)
]
NoCwdContext = Annotated[bool, typer.Option("--no-cwd-context", help="Do not show this folder.", rich_help_panel=SHOWN)]
WorkDir = Annotated[
    Path | None, typer.Option("--work-dir", metavar="DIR", help="Where files go.", rich_help_panel=PLACE)
]
OutputFile = Annotated[
    Path | None, typer.Option("--output-file", metavar="FILE", help="Copy of the result.", rich_help_panel=PLACE)
]


def consensus(
    task: Annotated[str, typer.Argument(help="What is wanted.")] = "",
    backends: Backends = None,
    mode: Mode = "general",
    rule: Rule = "majority",
    quorum: Quorum = None,
    policy: Policy = "default",
    tolerance: Tolerance = 0.02,
    pace: Pace = "fast",
    max_rounds: MaxRounds = 3,
    context: Context = None,
    artifacts: Artifacts = None,
    focus: Focus = "",
    prompt_file: PromptFile = None,
    no_cwd_context: NoCwdContext = False,
    criteria: Criteria = None,
    criteria_file: CriteriaFile = None,
    criteria_preset: CriteriaPreset = None,
    cost_budget: CostBudget = None,
    budget_account: Account = None,
    time_budget: TimeBudget = None,
    overnight: Overnight = False,
    massgen_orchestrated: Massgen = False,
    work_dir: WorkDir = None,
    output_file: OutputFile = None,
    config: Config = None,
    address: Address = "",
    no_sandbox: NoSandbox = False,
    record: Record = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Have several models answer, vote and decide by a stated rule."""
    from bessemer.interfaces._prepare_consensus import PanelRequest, prepare_consensus
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._consent import agree
    from bessemer.interfaces.cli.refine import go

    settings = _start.settings_for(config, no_sandbox, record)
    request = PanelRequest(
        task=task,
        prompt_file=prompt_file,
        mode=mode,
        backends=backends or (),
        criteria=criteria,
        criteria_file=criteria_file,
        criteria_preset=criteria_preset,
        context=(context,) if context else (),
        artifacts=artifacts or (),
        cwd_context=not no_cwd_context,
        focus=focus,
        rule=rule,
        quorum=quorum,
        policy=policy,
        tolerance=tolerance,
        pace=pace,
        max_rounds=max_rounds,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        account=budget_account,
        time_budget=_start.seconds(time_budget, "--time-budget"),
        overnight=overnight,
        massgen=massgen_orchestrated,
        work_dir=work_dir,
        output_file=output_file,
    )
    prepared = prepare_consensus(request, settings)
    if not dry_run:
        agree(
            prepared,
            settings,
            config or [],
            said=bool(yes or config or backends or settings.eval.backends),
            flag="--backends",
        )
    go(prepared, settings, config, address=address, dry_run=dry_run, as_json=as_json)
