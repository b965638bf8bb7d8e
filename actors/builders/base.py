"""What a builder is given and what it answers: one task in, one changed tree out, or a typed refusal."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.judging.types import Criterion, Task
from bessemer.actors.probes.base import ProbeResult


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BuildRequest(_Frozen):
    """One candidate: one try at one task."""

    goal: str
    """The user's task, word for word."""
    task: Task
    candidate: int
    """0-based; it sets temperature and seed."""
    backend: str
    repository: str
    """Absolute path of the run's private git repository."""
    base: str
    """Commit the candidate starts from: the last accepted one."""
    worktree: str
    """Absolute path of the worktree to create and work in; removed afterwards."""
    criteria: tuple[Criterion, ...] = ()
    hand_off: tuple[str, ...] = ()
    """Absolute paths of files the builder may read for context; named, never summarised."""
    hand_off_at: tuple[str, ...] = ()
    """Where those files really are, in the same order; empty where they are at their own paths."""
    probes: tuple[str, ...] = ()
    """Names or command lines of the probes that measure the work."""
    baseline: tuple[ProbeResult, ...] = ()
    """What those probes measured at `base`."""
    interpreter: str = ""
    max_output_tokens: int = 4096
    timeout: float = 600.0


class BuildResult(_Frozen):
    """What became of one candidate."""

    status: Literal["changed", "unchanged", "split_required", "failed"]
    commit: str = ""
    """Commit with the change, child of `base`; empty unless changed."""
    tree: str = ""
    """Git tree hash of that commit."""
    summary: str = ""
    """What was changed, spec compliance, how it was verified, what is left: the builder's own words."""
    split_plan: tuple[str, ...] = ()
    changed_files: tuple[str, ...] = ()
    changed_lines: int = 0
    """Lines added and removed against `base`: of two equally good candidates the smaller change stands."""
    probes: tuple[ProbeResult, ...] = ()
    tool_calls: int = 0
    tool_errors: int = 0
    trace: tuple[dict[str, Any], ...] = ()
    """What happened, in order, for the trace analyzer: {kind, name, seconds, ok, note}."""
    failure: CallFailure | None = None


class Journal(Protocol):
    """What work inside a step may do that must come out the same on replay (`bessemer.cluster.run.Step`)."""

    path: str

    async def call(self, request: ModelRequest) -> Reply | CallFailure:
        """One model call, bought once. Retries, budget and pricing happen behind it. Calls of a step are sequential."""
        ...

    async def observe(self, name: str, value: Any) -> Any:
        """Store `value` under `name` once; returns what is stored, which on replay is the first value."""
        ...

    async def recall(self, name: str) -> Any | None:
        """What is stored under `name`, or None."""
        ...


class Prober(Protocol):
    """How a builder measures a worktree."""

    async def measure(
        self, workspace: str, probes: tuple[str, ...], interpreter: str = ""
    ) -> tuple[ProbeResult, ...]: ...


class Builder(Protocol):
    """A way to turn a task into a change. `agent` lets a capable model use tools; `focused` guides a small one."""

    name: str

    async def build(self, request: BuildRequest, journal: Journal, prober: Prober) -> BuildResult: ...
