"""`bessemer doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bessemer.interfaces.cli._frame import emit, say
from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from bessemer.cluster.environment import Environment

NOT_USABLE = 5


def doctor(
    config: Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")] = None,
    as_json: Json = False,
) -> None:
    """Check this machine and say what to mend. Ends with 5 where something needed is missing.

    Writes environment.json into the state directory. Shows whether keys are set, never a key.
    """
    from bessemer.cluster.environment import write_environment
    from bessemer.cluster.errors import BessemerError
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces._doctor import examine

    settings = load_settings(files=config or [])
    found = examine(settings)
    if as_json:
        emit(found)
    else:
        _show(found)
    try:
        say(f"written to {write_environment(found, settings.state_dir)}")
    except BessemerError as error:
        say(f"environment.json was not written: {error.message}")
    raise typer.Exit(0 if found.usable else NOT_USABLE)


def _show(found: Environment) -> None:
    width = max(len(row.name) for row in found.rows)
    for row in found.rows:
        mark = "MISSING" if row.state == "missing" else row.state
        print(f"{mark:<8}{row.name:<{width}}  {row.found}")
        if row.remedy:
            print(f"{'':<{width + 8}}  -> {row.remedy}")
    print("usable" if found.usable else "not usable: mend what is MISSING")
