"""Agreement to spend: no money is spent on a model that nobody named."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from bessemer.cluster.errors import UsageError
from bessemer.cluster.money import format_usd
from bessemer.cluster.settings import Settings
from bessemer.interfaces import _configurations as configurations
from bessemer.interfaces._prepare import Prepared
from bessemer.interfaces.cli import _screen, _start
from bessemer.interfaces.cli._questions import confirmed


def agree(
    prepared: Prepared, settings: Settings, files: Sequence[Path], *, said: bool, flag: str = "--eval-backends"
) -> None:
    """Return where the run is free or the user has `said` what it may use; else ask, or refuse where nobody can answer.

    Raises UsageError without a terminal, and Exit(130) where the answer is no.
    """
    if said:
        return
    found = _start.estimate_of(prepared, settings)
    if not found.worst:
        return
    models = ", ".join(dict.fromkeys(step.backend for step in found.steps))
    others = [one for one in configurations.configurations() if one.exists and not one.problem]
    if not sys.stdin.isatty():
        several = f", -c {others[0].path}" if others else ""
        raise UsageError(
            f"this would use {models} for about {format_usd(found.cost)}, and nothing says that it may; choose with "
            f"{flag} {models.split(', ')[0]}{several}, agree with --yes, or write it down with `bessemer init`"
        )
    print(f"configuration: {configurations.in_use(files)}", file=sys.stderr)
    for one in others:
        print(f"  also there ({one.place}): -c {one.path}", file=sys.stderr)
    _screen.estimate(found)
    if not confirmed(f"Use {models}?", default=True):
        raise typer.Exit(130)
