"""Which probes there are, which fit a workspace, and which classes of work no probe verified."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bessemer.actors.probes._browser import BrowserProbe
from bessemer.actors.probes._command import run_command
from bessemer.actors.probes._linters import linters
from bessemer.actors.probes._pytest import PytestProbe
from bessemer.actors.probes._readers import readings
from bessemer.actors.probes.base import DeliverableClass, Probe, ProbeRequest, ProbeResult

_ALL: tuple[Probe, ...] = (PytestProbe(), *linters(), *readings(), BrowserProbe())
BUILTINS: dict[str, Probe] = {probe.name: probe for probe in _ALL}
DEFAULTS = ("pytest", "ruff", "html", "requirements", "skill_md", "browser")
"""Run where they apply. bandit, markdown and spelling are matters of taste in many projects: only on request."""

_SOUND = (".wav", ".mp3", ".ogg", ".flac", ".mid", ".midi")
_MOVING = (".gif", ".mp4", ".webm", ".apng")
_PAGES = (".html", ".htm")
_PROGRAMS = (".py", ".js", ".ts", ".sh", ".go", ".rs", ".c", ".cpp", ".java", ".rb", ".ipynb")


async def run_probe(request: ProbeRequest) -> ProbeResult:
    """Run one probe: a built-in, a user's `pytest …` or `ruff check …` through the built-in, or a command line.

    Raises SandboxUnavailable and WorkspaceError; what the deliverable does is always a result.
    """
    name = _builtin(request.probe)
    return await (BUILTINS[name].run(request) if name else run_command(request))


def _builtin(probe: str) -> str:
    """The built-in that runs this command line with its own arguments; empty if none does."""
    if probe in BUILTINS:
        return probe
    try:
        words = shlex.split(probe)
    except ValueError:
        return ""
    if any(mark in probe for mark in "|&;<>$`\n"):
        return ""
    if words[:1] == ["pytest"] or (words[1:3] == ["-m", "pytest"] and words[0] in ("python", "python3")):
        return "pytest"
    return "ruff" if words[:2] == ["ruff", "check"] and not any(word.startswith("--") for word in words) else ""


def probes_for(files: list[str], klass: DeliverableClass) -> list[str]:
    """The default probes of a workspace with these relative paths; empty where none applies."""
    return [name for name in DEFAULTS if BUILTINS[name].applies(files)]


def classify(files: list[str]) -> DeliverableClass:
    """What kind of work these relative paths are: by their endings, programs before pages before media."""
    names = [file.lower() for file in files]
    if any(name.endswith(_PROGRAMS) and not name.endswith((".js", ".ts")) for name in names):
        return "produces_output"
    if any(name.endswith(_PAGES) for name in names):
        return "interactive"
    if any(name.endswith(_PROGRAMS) for name in names):
        return "produces_output"
    if any(name.endswith(_SOUND) for name in names):
        return "makes_sound"
    return "animated" if any(name.endswith(_MOVING) for name in names) else "static"


def not_verified(klass: DeliverableClass, results: Sequence[ProbeResult]) -> list[DeliverableClass]:
    """`[klass]` where no probe that verifies this class judged anything. A user's command verifies any."""
    for result in results:
        name = _builtin(result.probe)
        if result.judged and (not name or klass in BUILTINS[name].classes):
            return []
    return [klass]
