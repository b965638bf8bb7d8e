"""The flags that plans, criteria and single steps share, and the way from a prepared run to its end."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bessemer.cluster.settings import Settings
    from bessemer.interfaces._prepare import Prepared, Request
    from bessemer.interfaces._prepare_modes import DraftOptions

PLACE, LIMITS = "Where and how", "Limits"

Backend = Annotated[
    str | None, typer.Option("--backend", help="The model that works, provider/model.", rich_help_panel=PLACE)
]
Panel = Annotated[
    list[str] | None,
    typer.Option("--backends", help="Several models that answer, vote and decide.", rich_help_panel=PLACE),
]
Context = Annotated[
    list[Path] | None,
    typer.Option("--context", metavar="FILE", help="Text files to know of; repeatable.", rich_help_panel=PLACE),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to the models and the cost without being asked.")]
Depth = Annotated[str, typer.Option("--depth", help="dynamic, shallow, medium or deep.")]


def run_and_return(
    prepared: Prepared,
    settings: Settings,
    config: list[Path] | None,
    *,
    address: str = "",
    as_json: bool = False,
    launch: bool = True,
) -> dict[str, Any]:
    """Start a run, watch it to its end, and return its outcome."""
    from bessemer.interfaces import _configurations as configurations
    from bessemer.interfaces.cli import _start

    print(f"configuration: {configurations.in_use(config or [])}", file=sys.stderr)
    for notice in prepared.notices:
        print(notice, file=sys.stderr)
    if as_json and launch:
        print(json.dumps({"event": "launch", "run": prepared.spec.run, "pipeline": prepared.spec.pipeline}), flush=True)
    outcome: dict[str, Any] = asyncio.run(_start.run_to_end(prepared, settings, address, as_json))
    return outcome


def depth_named(word: str) -> Any:
    """A depth by its name. Raises UsageError naming those there are."""
    from bessemer.cluster.errors import UsageError
    from bessemer.pipelines.planning.draft import DEPTHS

    if word not in DEPTHS:
        raise UsageError(f"there is no depth {word!r}; give one of {', '.join(DEPTHS)}")
    return word


def draft(
    request: Request,
    options: DraftOptions,
    config: list[Path] | None,
    *,
    address: str,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Have a document written and end with the run's exit code; on a model nobody named only after agreement."""
    from bessemer.interfaces._prepare_modes import prepare_draft
    from bessemer.interfaces.cli import _start
    from bessemer.interfaces.cli._consent import agree

    settings = _start.settings_for(config, no_sandbox=False)
    prepared = _by_panel(request, options, settings) if options.backends else prepare_draft(request, options, settings)
    if dry_run:
        _start.show_plan(prepared, settings, as_json)
        return
    said = bool(yes or config or request.build_backend or options.backends or settings.eval.backends)
    agree(prepared, settings, config or [], said=said, flag="--backend")
    outcome = run_and_return(prepared, settings, config, address=address, as_json=as_json)
    raise typer.Exit(_start.finish(outcome, prepared, as_json=as_json))


def _by_panel(request: Request, options: DraftOptions, settings: Settings) -> Prepared:
    """The same as a consensus on a plan or a specification."""
    from bessemer.cluster.errors import UsageError
    from bessemer.interfaces._prepare_consensus import PanelRequest, prepare_consensus

    if request.build_backend:
        raise UsageError("--backend and --backends were both given; name one model that writes, or several that decide")
    panel = PanelRequest(
        task=f"{request.task}\n\nSize: {options.size}" if request.task.strip() else "",
        mode=options.mode,
        backends=options.backends,
        criteria_file=request.criteria_file,
        criteria_preset=request.criteria_preset,
        context=options.context,
        cost_budget=request.cost_budget,
        account=request.account,
        time_budget=request.time_budget,
    )
    return prepare_consensus(panel, settings)
