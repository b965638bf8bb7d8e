"""A user's own command: its exit code, or the number it prints last."""

from __future__ import annotations

from bessemer.actors.probes._workspace import private_copy
from bessemer.actors.probes.base import ProbeRequest, ProbeResult
from bessemer.cluster.sandbox import SandboxPolicy, run


async def run_command(request: ProbeRequest) -> ProbeResult:
    """Exit code 0 passes. A number alone on the last line is the measure, higher is better."""
    with private_copy(request.workspace) as place:
        ended = await run(request.probe, SandboxPolicy(workspace=str(place), timeout=request.timeout))
    evidence = (ended.stdout + ended.stderr)[-8000:]
    if ended.killed_reason:
        status = "timeout" if ended.timed_out else "error"
        words = f"ended by the sandbox: {ended.killed_reason}"
        return ProbeResult(probe=request.probe, status=status, summary=words, evidence=evidence)
    number = _number(ended.stdout)
    good = ended.exit_code == 0
    return ProbeResult(
        probe=request.probe,
        status="passed" if good else "failed",
        summary=f"exit code {ended.exit_code}" + (f", measured {number:g}" if number is not None else ""),
        passed=int(good),
        total=1,
        measure=number if number is not None else float(good),
        seconds=ended.seconds,
        evidence=evidence,
    )


def _number(text: str) -> float | None:
    try:
        return float(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
