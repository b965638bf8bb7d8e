"""What a probe is: a deterministic measurement of a deliverable, run inside the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

ProbeStatus = Literal["passed", "failed", "error", "timeout", "not_applicable", "unavailable"]
DeliverableClass = Literal["static", "animated", "interactive", "produces_output", "makes_sound"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProbeFinding(_Frozen):
    """One defect a probe names."""

    code: str
    """Rule id or test id, stable between runs: `F401`, `tests/test_x.py::test_y`."""
    message: str
    file: str = ""
    """Path relative to the workspace; empty where a finding has no file."""
    line: int = 0
    """1-based; 0 where unknown."""
    severity: Literal["info", "minor", "major", "blocker"] = "major"
    detail: str = ""
    """The failure's text (a traceback's tail), at most 4,000 characters."""


class ProbeResult(_Frozen):
    """What a probe measured. `error`, `timeout` and `unavailable` are words of their own: no pass and no fail."""

    probe: str
    status: ProbeStatus
    summary: str
    """One line for people: `10 of 12 tests passed`."""
    passed: int = 0
    total: int = 0
    """Checks that passed of those that ran (tests, files, pages); 0 of 0 where the probe does not count."""
    measure: float | None = None
    """The number that must not get worse."""
    better: Literal["higher", "lower"] = "higher"
    findings: tuple[ProbeFinding, ...] = ()
    seconds: float = 0.0
    evidence: str = ""
    """Tail of the probe's output, at most 8,000 characters."""
    artefacts: tuple[str, ...] = ()
    """Absolute paths of files kept for people (screenshots)."""
    content_hash: str = ""
    """Tree hash of what was measured, set by the prober host."""

    @property
    def judged(self) -> bool:
        """Whether the probe says anything about the deliverable."""
        return self.status in ("passed", "failed")

    def improves_on(self, other: ProbeResult) -> bool:
        """Strictly better by the measure. A result that judged nothing improves on nothing."""
        return self._advantage(other) > 0

    def falls_behind(self, other: ProbeResult) -> bool:
        """Strictly worse by the measure, or no longer judging where the other did."""
        return (other.judged and not self.judged) or self._advantage(other) < 0

    def _advantage(self, other: ProbeResult) -> float:
        if not (self.judged and other.judged) or self.measure is None or other.measure is None:
            return 0.0
        return (self.measure - other.measure) * (1 if self.better == "higher" else -1)


class ProbeRequest(_Frozen):
    """One probe to run on one workspace."""

    probe: str
    """A built-in's name (`pytest`, `ruff`, …) or a user's command line."""
    kind: Literal["builtin", "command"]
    workspace: str
    """Absolute path of the tree to measure; it is copied or mounted read-only where a probe would write to it."""
    paths: tuple[str, ...] = ()
    """Relative paths to look at; empty means all."""
    timeout: float = 120.0
    """Seconds of wall time, the whole process group included."""
    interpreter: str = ""
    """Absolute path of the Python whose environment the probe needs; empty means the one running now."""
    artefacts: str = ""
    """Absolute folder for screenshots; empty keeps none."""


class Probe(Protocol):
    """A built-in probe."""

    name: str
    classes: frozenset[DeliverableClass]
    """Which deliverable classes it verifies."""

    def applies(self, files: list[str]) -> bool:
        """Whether a workspace with these relative paths has anything this probe measures."""
        ...

    async def run(self, request: ProbeRequest) -> ProbeResult:
        """Measure. Never raises for what the deliverable does; raises SandboxUnavailable where there is no door."""
        ...


def workspace_path(request: ProbeRequest) -> Path:
    return Path(request.workspace)
