"""Linters run as commands on a read-only mount: ruff, bandit, pymarkdownlnt, codespell. Measure: findings."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from bessemer.actors.probes._results import ended_early, from_findings, nothing_here, unjudged
from bessemer.actors.probes._workspace import files_of, read_text
from bessemer.actors.probes.base import DeliverableClass, ProbeFinding, ProbeRequest, ProbeResult
from bessemer.cluster.sandbox import SandboxPolicy, run

Reader = Callable[[str, str], list[ProbeFinding]]
"""Output and workspace in, findings out; raises ValueError where the output is not the tool's."""

_BANDIT: dict[str, Literal["info", "minor", "major"]] = {"LOW": "info", "MEDIUM": "minor", "HIGH": "major"}
_MARKDOWN = re.compile(r"^(.*):(\d+):\d+: (MD\d+): (.*)$")
_SPELLING = re.compile(r"^(.*):(\d+): (\S+ ==> .*)$")
TEXT = (".md", ".rst", ".txt", ".py", ".html", ".htm", ".js", ".ts", ".css", ".toml", ".yaml", ".yml")


class Linter:
    """One command-line linter. `command` gets the files' names appended; ends other than `ends` are errors."""

    def __init__(
        self, name: str, endings: tuple[str, ...], command: tuple[str, ...], read: Reader, ends: tuple[int, ...]
    ) -> None:
        self.name = name
        self.classes: frozenset[DeliverableClass] = frozenset({"static"}) if name != "bandit" else frozenset()
        self._endings, self._command, self._read, self._ends = endings, command, read, ends

    def applies(self, files: list[str]) -> bool:
        return any(file.lower().endswith(self._endings) for file in files)

    async def run(self, request: ProbeRequest) -> ProbeResult:
        options = _options(request.probe)
        files = files_of(request.workspace, request.paths, self._endings)
        if not files:
            return nothing_here(request.probe, f"{' or '.join(self._endings[:3])} file")
        looked_at = [file for file in files if read_text(request.workspace, file) is not None and "\n" not in file]
        skipped = sorted(set(files) - set(looked_at))
        policy = SandboxPolicy(workspace=request.workspace, writable=False, timeout=request.timeout)
        named = options or [f"./{file}" for file in looked_at]
        ended = await run([sys.executable, "-m", *self._command, *named], policy)
        if early := ended_early(request.probe, ended):
            return early
        try:
            found = self._read(ended.stdout, request.workspace)
        except (ValueError, KeyError, TypeError):
            found, ended = [], ended.model_copy(update={"exit_code": -1})
        if ended.exit_code not in self._ends:
            return unjudged(request.probe, "error", f"{self.name} did not run (exit code {ended.exit_code})", ended)
        return from_findings(request.probe, found, looked_at=looked_at, skipped=skipped, seconds=ended.seconds)


def _options(probe: str) -> list[str]:
    """What the user wrote behind `ruff check` or another linter's name."""
    words = shlex.split(probe)[1:]
    return words[1:] if words[:1] == ["check"] else words


def _relative(path: str, workspace: str) -> str:
    clean = Path(path)
    return clean.relative_to(workspace).as_posix() if clean.is_absolute() else clean.as_posix()


def _ruff(output: str, workspace: str) -> list[ProbeFinding]:
    return [
        ProbeFinding(
            code=one["code"] or "syntax",
            message=one["message"],
            file=_relative(one["filename"], workspace),
            line=one["location"]["row"],
            severity="minor" if one["code"] not in (None, "invalid-syntax") else "major",
        )
        for one in json.loads(output)
    ]


def _bandit(output: str, workspace: str) -> list[ProbeFinding]:
    found: list[dict[str, Any]] = json.loads(output[output.index("{") :])["results"]
    return [
        ProbeFinding(
            code=one["test_id"],
            message=one["issue_text"],
            file=_relative(one["filename"], workspace),
            line=one["line_number"],
            severity=_BANDIT.get(one["issue_severity"], "minor"),
        )
        for one in found
    ]


def _lines(pattern: re.Pattern[str], code: str) -> Reader:
    def read(output: str, workspace: str) -> list[ProbeFinding]:
        found = [match.groups() for line in output.splitlines() if (match := pattern.match(line))]
        return [
            ProbeFinding(
                code=one[2] if not code else f"{code}:{one[2].split()[0].lower()}",
                message=one[-1],
                file=_relative(one[0], workspace),
                line=int(one[1]),
                severity="minor",
            )
            for one in found
        ]

    return read


def linters() -> list[Linter]:
    """The four, in the order they are run in."""
    ruff = ("ruff", "check", "--no-cache", "--output-format=json", "--exit-zero", "--force-exclude")
    bandit = ("bandit", "-q", "-f", "json", "--exit-zero")
    markdown = ("pymarkdown", "-d", "MD013", "scan")
    return [
        Linter("ruff", (".py",), ruff, _ruff, (0,)),
        Linter("bandit", (".py",), bandit, _bandit, (0,)),
        Linter("markdown", (".md",), markdown, _lines(_MARKDOWN, ""), (0, 1)),
        Linter("spelling", TEXT, ("codespell_lib",), _lines(_SPELLING, "spelling"), (0, 65)),
    ]
