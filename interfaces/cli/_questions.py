"""Questions to a person, on stderr: stdout is for records."""

from __future__ import annotations

import contextlib
import sys

import typer


def confirmed(question: str, *, default: bool = False) -> bool:
    """Ask for a yes or a no."""
    # The parser writes the last character of its question to stdout all the same.
    with contextlib.redirect_stdout(sys.stderr):
        return typer.confirm(question, default=default, err=True)


def answer_to(question: str, *, default: str) -> str:
    """Ask for a line; an empty one means `default`."""
    with contextlib.redirect_stdout(sys.stderr):
        return str(typer.prompt(question, default=default, err=True)).strip()
