"""What Bessemer must know of an agent: how it is started, and what its output says.

| object | role | lifetime |
|---|---|---|
| `Agent` | one program's ways | the process |
| `Place` | what one run of it is given | the run |
| `Launch` | its command line, variables and files | the run |
| `Answer` | what its output says | the run |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from bessemer.actors.backends.base import Usage

GATEWAY = "@GATEWAY@"
"""Stands for the gateway's address in variables and words; the forwarder in the sandbox puts it in."""


class Place(NamedTuple):
    """What one run of an agent is given. Paths are absolute."""

    program: str
    home: str
    work: str
    model: str
    prompt: str = ""
    prompt_file: str = ""
    """Where the prompt lies for a command that reads a file; empty for others."""
    token: str = ""
    """The gateway's token; empty where the agent uses its own login."""
    max_output_tokens: int = 32_000
    effort: str = ""
    seconds: float = 300.0
    """When the run is ended."""


@dataclass(frozen=True)
class Launch:
    """How a run is started."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Files it must find, by path relative to its HOME."""
    stdin: bool = True
    """Whether it gets the prompt on standard input."""
    gather: Callable[[str, Path], str] | None = None
    """Makes of its standard output and its workspace what `read` reads; None where its standard output says it all."""


@dataclass(frozen=True)
class Answer:
    """What an agent's output says. What it does not tell is None."""

    text: str
    usage: Usage | None = None
    cost: float | None = None
    """Dollars."""
    model: str = ""
    session: str = ""
    error: str = ""
    """Why the agent says that it failed; empty where it does not."""


class UnreadableOutput(Exception):
    """An agent's output is not what that agent writes."""


class Agent(Protocol):
    """One program."""

    provider: str
    """The first half of its backends' names."""
    program: str
    """Its usual name on PATH."""
    package: str
    """The package it comes from."""
    fallback: str
    """The vendor whose API answers in its place where the program is missing; empty where none does."""
    credentials: tuple[str, ...]
    """Files of its own login, relative to HOME."""
    login_argv: tuple[str, ...]
    """Words that start its own login."""
    hosts: tuple[str, ...]
    """Hosts it needs with its own login."""

    def vendors(self, model: str) -> tuple[str, ...]:
        """The vendor whose key and wire format a model needs; empty where the agent cannot reach it with a key."""
        ...

    def launch(self, place: Place) -> Launch: ...

    def read(self, stdout: str, model: str) -> Answer:
        """Raises UnreadableOutput."""
        ...


def json_lines(stdout: str) -> list[dict[str, Any]]:
    """The JSON objects of an output with one on each line; other lines are left out."""
    found = []
    for line in stdout.splitlines():
        if line.lstrip().startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
    return found


def last_object(stdout: str) -> dict[str, Any]:
    """The one JSON object of an output, or its last line's. Raises UnreadableOutput."""
    start = stdout.find("{")
    try:
        value = json.loads(stdout[start:]) if start >= 0 else None
    except ValueError:
        value = next(reversed(json_lines(stdout)), None)
    if not isinstance(value, dict):
        said = " ".join(stdout.split())[:200]
        raise UnreadableOutput(f"its output is no JSON: {said!r}")
    return value


def count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
