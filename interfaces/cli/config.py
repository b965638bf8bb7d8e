"""`bessemer config`: the settings that hold here, and where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bessemer.interfaces.cli._frame import say

app = typer.Typer(help="See the settings that hold here.")

Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]
Json = Annotated[bool, typer.Option("--json", help="Records on stdout, people's text on stderr.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show(config=None, as_json=False)


@app.command()
def show(config: Config = None, as_json: Json = False) -> None:
    """Print the resolved settings, as a settings file. Keys are no settings and are not shown."""
    import yaml

    from bessemer.cluster.settings import load_settings

    values = _without_passwords(load_settings(files=config or []).model_dump(mode="json"))
    print(json.dumps(values) if as_json else yaml.safe_dump(values, sort_keys=False), end="\n" if as_json else "")


@app.command()
def path(as_json: Json = False) -> None:
    """Name the settings files that are looked for, the stronger first, and whether they are there."""
    from bessemer.cluster.settings import config_files

    for file in reversed(config_files()):
        if as_json:
            print(json.dumps({"path": str(file), "exists": file.is_file()}))
        else:
            print(f"{file}{'' if file.is_file() else '  (not there)'}")


@app.command()
def schema() -> None:
    """Print the JSON schema of a settings file, for editors."""
    from bessemer.cluster.settings import settings_schema

    print(json.dumps(settings_schema(), indent=2, ensure_ascii=False))
    say("in an editor: # yaml-language-server: $schema=PATH on the first line of the settings file")


def _without_passwords(value: Any) -> Any:
    from bessemer.cluster.redaction import redact

    if isinstance(value, dict):
        return {name: _without_passwords(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    return redact(value) if isinstance(value, str) else value
