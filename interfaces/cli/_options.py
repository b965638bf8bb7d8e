"""Options that every command has in one form."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Records on stdout, people's text on stderr.")]
