"""`bessemer`: the nouns and verbs of the command line. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.main

from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli._help import Entry, LazyGroup

ENTRIES = {
    "refine": Entry("refine", "refine", "Refine work round by round until it converges."),
    "evaluate": Entry("refine", "evaluate", "Judge work once: verdict, critique and tasks."),
    "consensus": Entry("consensus", "consensus", "Have several models answer, vote and decide by a stated rule."),
    "estimate": Entry(
        "refine", "estimate", "Say what a run may cost and take, before a cent is spent.", passes_on=True
    ),
    "plan": Entry("plan", "app", "Make plans, see how far they are and have drifted, and carry them out."),
    "spec": Entry("spec", "app", "Make and check specifications: one EARS sentence for each requirement."),
    "criteria": Entry("criteria", "app", "See, write and check criteria."),
    "step": Entry("step", "step", "One agent of a session answers or votes, writes it down, and ends."),
    "init": Entry("init", "init", "Find the keys that are there and write .bessemer/config.yaml."),
    "doctor": Entry("doctor", "doctor", "Check this machine and say what to mend."),
    "queue": Entry("queue", "app", "Add tasks, run them unattended, and read what came of them."),
    "run": Entry("run", "app", "List, show, resume, attach, cancel, fork, export and delete runs."),
    "lake": Entry("lake", "app", "Query and export what was recorded."),
    "cluster": Entry("cluster", "app", "Keep a local cluster warm, and see what its hosts are doing."),
    "batch": Entry("batch", "app", "List and cancel the vendors' batches that overnight calls are in."),
    "backend": Entry("backend", "app", "See which models can be reached, and what they cost."),
    "budget": Entry("budget", "app", "Show budgets and what is in doubt."),
    "ledger": Entry("budget", "ledger_app", "Move the ledger, and keep it small."),
    "config": Entry("config", "app", "See, choose and check configurations."),
}
SECTIONS = (
    ("Work", ("refine", "evaluate", "consensus", "plan", "spec", "criteria", "step", "estimate", "queue")),
    ("Look", ("run", "lake", "budget", "batch", "backend")),
    ("Keep", ("init", "config", "cluster", "ledger", "doctor")),
)
EPILOG = """Every command takes --json: records on stdout, people's text on stderr.

Exit codes:
""" + "".join(f"  {code:>3}  {meaning}\n" for code, meaning in _frame.EXIT_CODES.items())


class _Top(LazyGroup):
    entries = ENTRIES
    sections = SECTIONS


app = typer.Typer(cls=_Top, add_completion=False, rich_markup_mode=None, epilog=EPILOG, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        from bessemer import __version__

        print(f"bessemer {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Many models judge and refine work, under a budget that holds."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def command() -> Any:
    """The whole command line as one command object."""
    return typer.main.get_group(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    raise SystemExit(_frame.run(sys.argv[1:] if arguments is None else arguments, command()))
