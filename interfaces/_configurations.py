"""Configurations: which there are, which one holds, and writing one from the keys that are found.

A configuration is a settings file. Three places are looked at: the project's, the user's, and those recently given
with `-c`. The project's and the user's are layered by `load_settings`; the others hold only where they are named.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from bessemer.actors.backends import resolve_name, short_names
from bessemer.actors.backends.base import ALIASES
from bessemer.cluster.errors import BessemerError, SettingsError, UsageError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.settings import Settings, config_files, load_settings
from bessemer.interfaces._backends import backend_row

MOST_RECENT = 8
AGENT_NAMES = {"claude": "anthropic", "openai": "openai", "gpt": "openai", **ALIASES}
"""What people call a provider in `--agent backend=…`."""
DEFAULT_MODELS = {
    "anthropic": "claude-opus-4-6",
    "openai": "gpt-5.4",
    "google": "gemini-3.1-pro-preview",
    "xai": "grok-4.20-0309-reasoning",
    "codex": "gpt-5.4",
    "claude-code": "claude-opus-4-6",
    "gemini-cli": "gemini-3.1-pro-preview",
    "copilot": "gpt-5.4",
    "embedded": "qwen2.5-coder-1.5b",
}
"""The model of an agent for which none is named."""


class Configuration(BaseModel):
    """One settings file and what a run under it would use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: Literal["project", "user", "recent"]
    path: str
    exists: bool
    build_backend: str = ""
    eval_backends: tuple[str, ...] = ()
    cap: str = ""
    """Dollars a run may spend, as written; empty is no cap."""
    problem: str = ""
    """Why it cannot be used."""
    used: float | None = None
    """When it was last given with `-c`, in seconds since 1970."""


def configurations(cwd: Path | None = None) -> list[Configuration]:
    """The project's, the user's, then the recently used ones, newest first; each once."""
    user, project = config_files(cwd)
    found = [_read("project", project), _read("user", user)]
    known = {Path(one.path).resolve() for one in found}
    for path, used in sorted(_recent().items(), key=lambda item: -item[1]):
        if Path(path).resolve() not in known and Path(path).is_file():
            found.append(_read("recent", Path(path)).model_copy(update={"used": used}))
    return found


def remember(files: Sequence[Path]) -> None:
    """Note that these files were given with `-c`. A note that cannot be written is no error."""
    recent = {**_recent(), **{str(path.absolute()): time.time() for path in files}}
    kept = dict(sorted(recent.items(), key=lambda item: -item[1])[:MOST_RECENT])
    try:
        write_atomic(_recent_file(), (json.dumps(kept, indent=2) + "\n").encode())
    except BessemerError:
        return


def in_use(files: Sequence[Path], cwd: Path | None = None) -> str:
    """The settings files that hold for a command, the strongest first, for people."""
    found = [str(path) for path in reversed(files)]
    found += [str(path) for path in reversed(config_files(cwd)) if path.is_file()]
    return ", ".join(found) if found else "no settings file (defaults)"


def problems_of(settings: Settings) -> list[str]:
    """What stands in the way of every backend that the settings name."""
    named = [settings.refine.build_backend, *settings.eval.backends]
    found = []
    for name in dict.fromkeys(name for name in named if name and name != "probes"):
        try:
            row = backend_row(name, settings)
        except BessemerError as error:
            found.append(error.message)
            continue
        if row.why:
            found.append(row.why)
    return found


def agent_of(text: str) -> str:
    """`provider/model` of `backend=NAME,model=MODEL`. Raises UsageError."""
    parts = dict(part.partition("=")[::2] for part in text.split(",") if part.strip())
    unknown = set(parts) - {"backend", "model"}
    backend, model = parts.get("backend", "").strip().lower(), parts.get("model", "").strip()
    if unknown or not backend:
        raise UsageError(f"--agent {text!r} is not understood; write backend=NAME,model=MODEL, model left out or not")
    provider = AGENT_NAMES.get(backend, backend)
    model = model or DEFAULT_MODELS.get(provider, "")
    if not model:
        raise UsageError(f"--agent {text!r} names no model, and none is usual for {backend}; add model=MODEL")
    return resolve_name(f"{provider}/{model}", {})


def usable_backends(settings: Settings) -> list[str]:
    """Backends that can be used here without further ado, the vendors whose key is set first."""
    names = [name for name in short_names(settings.backends).values() if not name.startswith("embedded/")]
    vendors = [f"{provider}/{DEFAULT_MODELS[provider]}" for provider in ("anthropic", "openai", "google", "xai")]
    found = []
    for name in dict.fromkeys([*vendors, *names]):
        try:
            row = backend_row(name, settings)
        except BessemerError:
            continue
        if row.usable and (row.key_present or shutil.which(name.partition("/")[0])):
            found.append(name)
    return found


def compose(build: str, judges: Sequence[str], cap: str) -> dict[str, Any]:
    """The settings of a new configuration."""
    values: dict[str, Any] = {"refine": {"build_backend": build}, "eval": {"backends": list(judges)}}
    return {**values, "budget": {"run": cap}} if cap else values


def write(path: Path, values: Mapping[str, Any], *, force: bool) -> None:
    """Write a configuration; one that is there stays, unless forced, and then a copy of it is kept."""
    if path.exists() and not force:
        raise UsageError(f"{path} exists; give --force to replace it (a copy is kept beside it)")
    if path.exists():
        write_atomic(path.with_name(f"{path.name}.old"), path.read_bytes())
    head = "# Settings of Bessemer; `bessemer config schema` describes every key. Keys of providers go into .env.\n"
    write_atomic(path, (head + yaml.safe_dump(dict(values), sort_keys=False)).encode())


def find(name: str, cwd: Path | None = None) -> Path:
    """The file of a configuration named `project`, `user`, by its number in `config list`, or by its path."""
    found = configurations(cwd)
    by_place = {one.place: one.path for one in reversed(found) if one.place != "recent"}
    if name in by_place:
        return Path(by_place[name])
    if name.isdigit() and 1 <= int(name) <= len(found):
        return Path(found[int(name) - 1].path)
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise UsageError(f"no configuration {name!r}; give project, user, a number of `bessemer config list`, or a path")


def _read(place: Literal["project", "user", "recent"], path: Path) -> Configuration:
    if not path.is_file():
        return Configuration(place=place, path=str(path), exists=False)
    try:
        settings = load_alone(path)
    except SettingsError as error:
        return Configuration(place=place, path=str(path), exists=True, problem=error.message)
    return Configuration(
        place=place,
        path=str(path),
        exists=True,
        build_backend=settings.refine.build_backend,
        eval_backends=settings.eval.backends,
        cap="" if settings.budget.run is None else str(settings.model_dump(mode="json")["budget"]["run"]),
        problem="; ".join(problems_of(settings)),
    )


def load_alone(path: Path) -> Settings:
    """The settings of one file over the defaults, without the project's and the user's. Raises SettingsError."""
    return load_settings(files=[path], layered=False)


def _recent() -> dict[str, float]:
    try:
        found = json.loads(_recent_file().read_text())
        return {str(path): float(used) for path, used in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _recent_file() -> Path:
    from platformdirs import user_state_path

    return user_state_path("bessemer") / "recent.json"
