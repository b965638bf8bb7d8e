"""`bessemer step`: one agent, one action, exit; on a directory that agents from elsewhere can share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bessemer.interfaces.cli._modes import PLACE
from bessemer.interfaces.cli._options import Json
from bessemer.interfaces.cli.refine import Account, Address, CostBudget, DryRun, TimeBudget

if TYPE_CHECKING:
    from bessemer.actors.judging import ChecklistPolicy


def step(
    session_dir: Annotated[Path, typer.Option("--session-dir", metavar="DIR", help="The session's directory.")],
    agent_id: Annotated[str, typer.Option("--agent-id", metavar="ID", help="Which agent acts.")] = "",
    backend: Annotated[
        str | None, typer.Option("--backend", help="The agent's model, provider/model.", rich_help_panel=PLACE)
    ] = None,
    automation: Annotated[
        str, typer.Option("--automation", metavar="PROMPT", help="The task; default: the session's own.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--config",
            metavar="FILE",
            help="Settings, or a file that names the one agent.",
            rich_help_panel=PLACE,
        ),
    ] = None,
    eval_criteria: Annotated[
        str | None, typer.Option("--eval-criteria", metavar="FILE", help="Criteria that a vote has to meet.")
    ] = None,
    policy: Annotated[str, typer.Option("--policy", help="How scores decide: default or massgen.")] = "default",
    no_cwd_context: Annotated[
        bool, typer.Option("--no-cwd-context", help="Do not show this folder to the agent.")
    ] = False,
    cost_budget: CostBudget = None,
    budget_account: Account = None,
    time_budget: TimeBudget = None,
    address: Address = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """One agent of a session answers or votes, writes it down, and ends."""
    from bessemer.interfaces._prepare import Request
    from bessemer.interfaces._prepare_modes import prepare_step
    from bessemer.interfaces._session_files import agent_of, query_of
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._modes import run_and_return

    named = agent_of(config) if config else None
    settings = _start.settings_for([config] if config and named is None else None, no_sandbox=False)
    request = Request(
        task=automation or query_of(session_dir),
        build_backend=backend or (named.backend if named else None),
        criteria_file=eval_criteria,
        cost_budget=_start.dollars(cost_budget, "--cost-budget"),
        account=budget_account,
        time_budget=_start.seconds(time_budget, "--time-budget"),
    )
    agent = agent_id or (named.id if named else "")
    prepared = prepare_step(request, session_dir, agent, _policy(policy), not no_cwd_context, settings)
    if dry_run:
        _start.show_plan(prepared, settings, as_json)
        return
    outcome = run_and_return(prepared, settings, None, address=address, as_json=as_json)
    if not as_json:
        _lines(outcome)
    raise typer.Exit(_start.finish(outcome, prepared, as_json=as_json))


def _lines(outcome: dict[str, Any]) -> None:
    """What an outside orchestrator reads from standard output."""
    print(f"SESSION_DIR: {outcome['session_dir']}")
    acted = outcome["acted"]
    if acted["action"] != "none":
        print(f"ACTION: {acted['action']}")
        print(f"STATUS: {acted['status']}")


def _policy(word: str) -> ChecklistPolicy:
    from bessemer.actors.judging import ChecklistPolicy
    from bessemer.cluster.errors import UsageError

    if word == "default":
        return ChecklistPolicy()
    if word == "massgen":
        return ChecklistPolicy(rule="massgen")
    raise UsageError(f"there is no policy {word!r}; give default or massgen")
