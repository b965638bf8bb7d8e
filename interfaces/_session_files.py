"""What an outside orchestrator puts beside a session: which agent acts with which model, and on what task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bessemer.cluster.errors import SettingsError

TYPES = {
    "claude": "anthropic",
    "gemini": "google",
    "grok": "xai",
    "claude_code": "claude-code",
    "gemini_cli": "gemini-cli",
}
"""Names of backend types that are called otherwise here."""


class NamedAgent(NamedTuple):
    id: str
    backend: str


def agent_of(path: Path) -> NamedAgent | None:
    """The one agent that a file names (`agents` with one entry, or `agent`); None for a settings file.

    Raises SettingsError where it names none or several, or cannot be read.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())[:160]
        raise SettingsError(f"the configuration {path} cannot be read: {said}; give a YAML or JSON file") from None
    if not isinstance(data, dict) or not ({"agents", "agent"} & data.keys()):
        return None
    agents = data.get("agents", [data.get("agent")])
    if not isinstance(agents, list) or len(agents) != 1 or not isinstance(agents[0], dict):
        count = len(agents) if isinstance(agents, list) else 0
        raise SettingsError(f"the configuration {path} names {count} agents; a step needs exactly one")
    return NamedAgent(str(agents[0].get("id") or ""), _backend(path, agents[0].get("backend")))


def _backend(path: Path, backend: Any) -> str:
    if isinstance(backend, str):
        return backend
    model = backend.get("model") if isinstance(backend, dict) else None
    if not isinstance(model, str) or not model:
        raise SettingsError(f"the configuration {path} gives its agent no `backend` with a `model`; add it")
    kind = str(backend.get("type") or "")
    return f"{TYPES.get(kind, kind)}/{model}" if kind else model


def query_of(session_dir: Path) -> str:
    """The task that the session's `config.json` carries; empty where it carries none."""
    try:
        data = json.loads((session_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    query = data.get("query") if isinstance(data, dict) else None
    return query if isinstance(query, str) else ""
