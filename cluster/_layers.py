"""Where settings come from: files, the environment and flags, laid over each other with the origin of every value."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from bessemer.cluster.errors import SettingsError
from bessemer.cluster.redaction import SECRET_NAME, kind_of_key, redact

PREFIX = "BESSEMER_"
NESTING = "__"
KEY_SUFFIXES = ("_API_KEY", "_KEY", "_TOKEN", "_ACCESS_KEY_ID")
"""Endings of the variables that are taken from a `.env`; everything else in it belongs to somebody else."""

Key = tuple[str, ...]


class Layer(NamedTuple):
    """Values from one place."""

    values: dict[str, Any]
    origins: dict[Key, str]
    """Where each value was written, as a person finds it: `file:line` or a variable."""


class Layers:
    """Layers merged so far: mappings by key, everything else by replacement."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[Key, str] = {}

    def add(self, layer: Layer) -> None:
        _merge(self.values, layer.values)
        self.origins.update(layer.origins)

    def add_flags(self, flags: Mapping[str, Any]) -> None:
        given = _without_none(flags)
        self.add(Layer(given, {key: "--" + key[-1].replace("_", "-") for key in _paths(given)}))

    def origin(self, key: Key) -> str:
        """Where the value at `key`, or the one that contains it, was written."""
        tries = (key[:length] for length in range(len(key), 0, -1))
        return next((self.origins[part] for part in tries if part in self.origins), "settings")


def file_layer(path: Path, model: type[BaseModel]) -> Layer:
    """Read a YAML file of settings. Raises SettingsError: not YAML, a key twice, or a secret in it."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise SettingsError(f"{path}: cannot be read ({reason}); give a readable YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise SettingsError(f"{path}{line}: not valid YAML ({redact(problem)}); mend that line") from None
    if values is None:
        return Layer({}, {})
    if not isinstance(values, dict):
        known = ", ".join(model.model_fields)
        raise SettingsError(f"{path}:1: holds no settings but a {type(values).__name__}; start with one of: {known}")
    try:
        origins = dict(_lines(root, path, ()))
        leaves = list(_leaves(values, ()))
    except RecursionError:
        raise SettingsError(f"{path}: an alias (*name) contains itself; write the values out") from None
    for key, value in leaves:
        _refuse_secret(key, value, origins.get(key, str(path)))
    return Layer(values, origins)


def environment_layer(model: type[BaseModel]) -> Layer:
    """Read `BESSEMER_SECTION__KEY` variables. Raises SettingsError for an unknown section or a secret."""
    sections = tuple(model.model_fields)
    ours = [name for name in os.environ if name.upper().startswith(PREFIX)]
    settings = [name for name in ours if name.upper()[len(PREFIX) :].split(NESTING)[0].lower() in sections]
    for name in set(ours) - set(settings):
        section = name[len(PREFIX) :].split(NESTING)[0].lower()
        if NESTING in name[len(PREFIX) :]:
            raise SettingsError(f"{name}: no section {section!r}; {_did_you_mean(section, sections)}")
    if not settings:
        return Layer({}, {})
    # Imported here because it costs 0.1 s and most commands have no such variable.
    from bessemer.cluster._environment_source import read_environment

    values = read_environment(model, PREFIX, NESTING)
    origins = {tuple(name[len(PREFIX) :].lower().split(NESTING)): name for name in settings}
    for key, value in _leaves(values, ()):
        _refuse_secret(key, value, origins.get(key, PREFIX + NESTING.join(key).upper()))
    return Layer(values, origins)


def load_keys(cwd: Path) -> tuple[str, ...]:
    """Take keys from the nearest `.env` at or above `cwd`; what the environment already has stays.

    Only names that end in `_API_KEY`, `_KEY` or `_TOKEN` are taken, and only from a file of this user's or root's.
    Returns the names that were taken, never a value.
    """
    path = next((folder / ".env" for folder in (cwd, *cwd.parents) if (folder / ".env").is_file()), None)
    if path is None:
        return ()
    from dotenv import dotenv_values

    try:
        if path.stat().st_uid not in (0, os.getuid()):
            return ()
        found = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError):
        return ()
    taken = [name for name, value in found.items() if value and name.endswith(KEY_SUFFIXES) and name not in os.environ]
    for name in taken:
        os.environ[name] = found[name] or ""
    return tuple(taken)


def explain(error: ValidationError, layers: Layers, model: type[BaseModel]) -> str:
    """The one line that a validation error becomes: place, key, value, remedy."""
    first = error.errors()[0]
    key = _known_part(tuple(str(part) for part in first["loc"]), layers.values)
    place, dotted = layers.origin(key), ".".join(key)
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key {dotted!r}; {_nearest(key, model)}"
    value = redact(repr(first["input"]))
    shown = value if len(value) <= 80 else value[:77] + "..."
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}: {dotted} is {shown}; it {problem[0].lower()}{problem[1:]}".replace("; it give", "; give")


def _nearest(key: Key, model: type[BaseModel]) -> str:
    fields = _fields_at(key[:-1], model)
    elsewhere = [".".join(path) for path in _all_keys(model, ()) if path[-1] == key[-1]]
    if elsewhere and not difflib.get_close_matches(key[-1], fields, n=1):
        return f"did you mean {' or '.join(elsewhere[:3])}?"
    return _did_you_mean(key[-1], fields)


def _did_you_mean(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _fields_at(key: Key, model: type[BaseModel]) -> tuple[str, ...]:
    current: Any = model
    for part in key:
        field = current.model_fields.get(part) if _is_model(current) else None
        current = field.annotation if field else None
    return tuple(current.model_fields) if _is_model(current) else ()


def _all_keys(model: type[BaseModel], above: Key) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        yield (*above, name)
        if _is_model(field.annotation):
            yield from _all_keys(field.annotation, (*above, name))  # type: ignore[arg-type]


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _refuse_secret(key: Key, value: Any, place: str) -> None:
    dotted = ".".join(key)
    if SECRET_NAME.search(key[-1]) or (isinstance(value, str) and kind_of_key(value)):
        provider = key[-2].upper() if len(key) > 1 else "PROVIDER"
        raise SettingsError(
            f"{place}: {dotted} holds a key, and keys do not belong in settings; "
            f"take it out and set {provider}_API_KEY in the environment or in .env"
        )


def _known_part(key: Key, values: Any) -> Key:
    """The part of pydantic's path that is written in the settings: it appends names of union members."""
    known: list[str] = []
    for part in key:
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list | tuple) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            break
        known.append(part)
    return tuple(known) or key


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        below = into.get(name)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _merge(below, value)
        elif isinstance(value, Mapping):
            into[name] = {}
            _merge(into[name], value)
        else:
            into[name] = value


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: _without_none(value) if isinstance(value, Mapping) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def _paths(values: Mapping[str, Any]) -> list[Key]:
    return [key for key, _ in _leaves(values, ())]


def _leaves(values: Mapping[Any, Any], above: Key) -> Iterator[tuple[Key, Any]]:
    for name, value in values.items():
        key = (*above, str(name))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, key)
        else:
            yield key, value


def _lines(node: Any, path: Path, above: Key) -> Iterator[tuple[Key, str]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for name, value in node.value:
        key = (*above, str(name.value))
        line = name.start_mark.line + 1
        if key[-1] in seen:
            raise SettingsError(f"{path}:{line}: {'.'.join(key)} is given twice; keep one of them")
        seen.add(key[-1])
        yield key, f"{path}:{line}"
        yield from _lines(value, path, key)
