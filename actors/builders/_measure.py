"""What every builder does at the end: commit its worktree and measure it once."""

from __future__ import annotations

from pathlib import Path

from bessemer.actors.backends.base import CallFailure
from bessemer.actors.builders.base import BuildRequest, BuildResult, Journal, Prober
from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.workspace import Refused, Repository


async def conclude(
    request: BuildRequest,
    journal: Journal,
    prober: Prober,
    repository: Repository,
    worktree: Path,
    result: BuildResult,
) -> BuildResult:
    """`result` with the worktree's commit and measurements: changed, unchanged, or failed where git refuses it."""
    title = request.task.description.splitlines()[0][:72] if request.task.description else request.task.id
    snapshot = await repository.snapshot(worktree, title, request.base)
    if isinstance(snapshot, Refused):
        message = f"the candidate cannot be taken: {snapshot.message}"
        return result.model_copy(
            update={"status": "failed", "failure": CallFailure(kind="malformed_output", message=message)}
        )
    if not snapshot.changed_files:
        return result.model_copy(update={"status": "unchanged"})
    return result.model_copy(
        update={
            "status": "changed",
            "commit": snapshot.commit,
            "tree": snapshot.tree,
            "changed_files": snapshot.changed_files,
            "changed_lines": _lines(await repository.diff(request.base, snapshot.commit)),
            "probes": await measure(request, journal, prober, worktree),
        }
    )


async def measure(request: BuildRequest, journal: Journal, prober: Prober, worktree: Path) -> tuple[ProbeResult, ...]:
    """The probes' results for the worktree, measured once and then read from the journal."""
    if not request.probes:
        return ()
    stored = await journal.recall("probes")
    if stored is None:
        results = await prober.measure(str(worktree), request.probes, request.interpreter)
        stored = await journal.observe("probes", [result.model_dump(mode="json") for result in results])
    return tuple(ProbeResult.model_validate(result) for result in stored)


def _lines(diff: str) -> int:
    return sum(line.startswith(("+", "-")) and not line.startswith(("+++", "---")) for line in diff.splitlines())
