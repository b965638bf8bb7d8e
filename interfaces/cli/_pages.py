"""The reference of the command line as Markdown, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli._help import WIDTH
from bessemer.interfaces.cli.main import command

HEAD = """# The command line

This page is made from the commands (`make docs`). Flags that take several values take them side by side
(`--probe "pytest -q" "ruff check"`) and repeated (`--probe "pytest -q" --probe "ruff check"`); what has no flag stands
before them or after `--`. Every wrong use is one line on stderr that names the flag, the value and the remedy.

| exit code | meaning |
|---|---|
"""


def reference() -> str:
    """Every help page, one after the other."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in _frame.EXIT_CODES.items())
    pages = "".join(f"\n## `{path}`\n\n```text\n{page}\n```\n" for path, page in _pages(command(), "bessemer", None))
    return HEAD + codes + pages


def _pages(one: Any, name: str, above: typer.Context | None) -> Iterator[tuple[str, str]]:
    with one.make_context(name, [], parent=above, resilient_parsing=True) as context:
        context.terminal_width = WIDTH
        lines = (line.rstrip() for line in context.get_help().rstrip().splitlines())
        yield context.command_path, "\n".join(lines)
        if isinstance(one, TyperGroup):
            for below in one.list_commands(context):
                yield from _pages(one.get_command(context, below), below, context)
