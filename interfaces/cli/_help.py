"""Commands and groups with plain help pages: options stand under headings, and importing them is cheap.

Typer's own pages are drawn by rich, which doubles the time that `bessemer --help` takes.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from bessemer.interfaces.cli._arguments import spread_values

WIDTH = 100
CONTEXT = {"max_content_width": WIDTH, "help_option_names": ["--help", "-h"]}


class Entry(NamedTuple):
    """A command of the top level, known before its module is imported."""

    module: str
    """Module under `bessemer.interfaces.cli`."""
    attribute: str
    """A `typer.Typer` for a noun, a function for a verb."""
    help: str
    passes_on: bool = False
    """Whether its arguments are another command with flags of its own."""


_SHAPES = {
    "<str>": "TEXT",
    "<int>": "N",
    "<float>": "X",
    "<int range>": "N",
    "<Path>": "PATH",
    "<list[str]>": "TEXT…",
    "<list[Path]>": "PATH…",
}
"""How the kinds of values are called on a help page; `…` says that there may be several."""


def _record(parameter: Any, context: typer.Context) -> tuple[str, str] | None:
    record = parameter.get_help_record(context)
    if record is None:
        return None
    names, text = record
    if parameter.param_type_name == "argument":
        return _argument(parameter), text.replace("  [required]", "")
    for shape, word in _SHAPES.items():
        names = names.replace(shape, word)
    return names, text


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _usage_pieces(command: Any, context: typer.Context) -> list[str]:
    arguments = [one for one in command.get_params(context) if one.param_type_name == "argument"]
    shown = [_argument(one) if one.required else f"[{_argument(one)}]" for one in arguments]
    return [*shown, command.options_metavar]


def _write_options(command: Any, context: typer.Context, formatter: Any) -> None:
    arguments: list[tuple[str, str]] = []
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = _record(parameter, context)
        if record is None:
            continue
        if parameter.param_type_name == "argument":
            arguments.append(record)
        else:
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(record)
    # What belongs to no heading comes last, so that --help and --json are always found in one place.
    last = panels.pop("Options", [])
    for heading, rows in [("Arguments", arguments), *panels.items(), ("Options", last)]:
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


class Command(TyperCommand):
    """A verb. Options that take several values take them side by side too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        context = {**CONTEXT, **(kwargs.get("context_settings") or {})}
        super().__init__(*args, **{**kwargs, "rich_markup_mode": None, "context_settings": context})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        several = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        return super().parse_args(ctx, spread_values(args, several))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return _usage_pieces(self, ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)


class Group(TyperGroup):
    """A noun with its verbs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The frame suggests commands itself, and also those that are not imported yet.
        own = {"rich_markup_mode": None, "context_settings": dict(CONTEXT), "suggest_commands": False}
        super().__init__(*args, **{**kwargs, **own})

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)


class LazyGroup(Group):
    """The top level: a command's module is imported when that command is used."""

    entries: dict[str, Entry]
    sections: Sequence[tuple[str, Sequence[str]]]
    """Headings of the help page, each with the names under it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = build(cmd_name, entry)
        return self.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for heading, names in self.sections:
            with formatter.section(heading):
                formatter.write_dl([(name, self.entries[name].help) for name in names])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n" + (self.epilog or ""))


def build(name: str, entry: Entry) -> Any:
    """Import a command and give it plain help."""
    found = getattr(importlib.import_module(f"bessemer.interfaces.cli.{entry.module}"), entry.attribute)
    if isinstance(found, typer.Typer):
        _plain(found)
        group = typer.main.get_group(found)
        group.name = name
        return group
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    # A command of commands takes the words after its first as they are.
    words = {"ignore_unknown_options": True, "allow_interspersed_args": False} if entry.passes_on else {}
    app.command(name, cls=Command, context_settings=words)(found)
    return typer.main.get_command(app)


def _plain(app: typer.Typer) -> None:
    app.info.cls = Group
    if app.registered_callback is not None:
        app.registered_callback.cls = Group
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        group.cls = Group
        if group.typer_instance is not None:
            _plain(group.typer_instance)
