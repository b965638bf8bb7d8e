"""`bessemer config`: the settings that hold here, and where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bessemer.interfaces.cli._frame import emit, say
from bessemer.interfaces.cli._options import Json

if TYPE_CHECKING:
    from bessemer.interfaces._configurations import Configuration

app = typer.Typer(help="See, choose and check configurations.")

Config = Annotated[list[Path] | None, typer.Option("-c", "--config", help="Settings file; later ones win.")]


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


@app.command("list")
def list_configurations(as_json: Json = False) -> None:
    """List the configurations: the project's, yours, and those recently given with -c."""
    from bessemer.interfaces._configurations import configurations

    found = configurations()
    for number, one in enumerate(found, start=1):
        if as_json:
            print(one.model_dump_json())
            continue
        words = _words(one) if one.exists else "not there"
        print(f"{number}  {one.place:<8} {one.path}\n     {words}")
        if one.problem:
            print(f"     {one.problem}")


@app.command()
def use(
    name: Annotated[str, typer.Argument(metavar="NAME", help="user, a number of `config list`, or a path.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the project's; a copy is kept.")] = False,
    as_json: Json = False,
) -> None:
    """Make a configuration this project's own: it is copied to .bessemer/config.yaml."""
    import yaml

    from bessemer.cluster.errors import UsageError
    from bessemer.cluster.settings import config_files
    from bessemer.interfaces import _configurations as configurations

    source, (_, project) = configurations.find(name), config_files()
    if source.resolve() == project.resolve():
        raise UsageError(f"{source} is this project's configuration already")
    configurations.load_alone(source)
    configurations.write(project, yaml.safe_load(source.read_text()) or {}, force=force)
    if as_json:
        emit({"path": str(project), "source": str(source)})
    say(f"{project} is now a copy of {source}")


@app.command()
def validate(
    path: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: what holds here.")] = None,
    as_json: Json = False,
) -> None:
    """Check a configuration: its form, and that every model it names has a key, a price and an address."""
    from bessemer.cluster.errors import UsageError
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces import _configurations as configurations

    if path is not None and not path.is_file():
        raise UsageError(f"{path}: no such file; give a YAML file with settings")
    settings = load_settings() if path is None else configurations.load_alone(path)
    problems = configurations.problems_of(settings)
    named = str(path) if path else configurations.in_use(())
    if as_json:
        print(json.dumps({"configuration": named, "valid": not problems, "problems": problems}))
    else:
        for problem in problems:
            print(problem)
    if not problems:
        say(f"{named}: valid")
    raise typer.Exit(2 if problems else 0)


@app.command()
def schema(as_json: Json = False) -> None:
    """Print the JSON schema of a settings file, for editors; with --json on one line."""
    from bessemer.cluster.settings import settings_schema

    if as_json:
        emit(settings_schema())
    else:
        print(json.dumps(settings_schema(), indent=2, ensure_ascii=False))
    say("in an editor: # yaml-language-server: $schema=PATH on the first line of the settings file")


def _words(one: Configuration) -> str:
    build, judges = one.build_backend or "(chosen by key)", " ".join(one.eval_backends) or "(chosen by key)"
    return f"builds with {build}, judges with {judges}, cap {'$' + one.cap if one.cap else 'none'}"


def _without_passwords(value: Any) -> Any:
    from bessemer.cluster.redaction import redact

    if isinstance(value, dict):
        return {name: _without_passwords(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    return redact(value) if isinstance(value, str) else value
