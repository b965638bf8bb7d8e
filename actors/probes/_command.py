"""A user's own command: its exit code, or the number it measured."""

from __future__ import annotations

import json
import math

from bessemer.actors.probes._results import ended_early, evidence_of
from bessemer.actors.probes._workspace import private_copy
from bessemer.actors.probes.base import ProbeFinding, ProbeRequest, ProbeResult
from bessemer.cluster.sandbox import SandboxPolicy, run

SHELL_CANNOT = {126: "cannot be executed", 127: "was not found in the sandbox"}


async def run_command(request: ProbeRequest) -> ProbeResult:
    """Exit code 0 passes. The measure is a number alone on the last line of stdout, or `score` of a JSON object there,
    higher is better; else 1 for a pass and 0 for a fail."""
    async with private_copy(request.workspace) as place:
        policy = SandboxPolicy(
            workspace=str(place),
            timeout=request.timeout,
            interpreter=request.interpreter,
            env={"PYTHONPATH": f"{place}:{place / 'src'}"},
        )
        ended = await run(request.probe, policy)
    if early := ended_early(request.probe, ended):
        return early
    if ended.exit_code in SHELL_CANNOT:
        words = f"the command {SHELL_CANNOT[ended.exit_code]}"
        return ProbeResult(probe=request.probe, status="error", summary=words, evidence=evidence_of(ended))
    number = measured(ended.stdout)
    good = ended.exit_code == 0
    said = (ended.stderr or ended.stdout).strip().splitlines()
    failed = ProbeFinding(
        code="exit",
        message=f"exit code {ended.exit_code}" + (f": {said[-1][:300]}" if said else ""),
        detail=evidence_of(ended)[-4000:],
    )
    return ProbeResult(
        probe=request.probe,
        status="passed" if good else "failed",
        summary=f"exit code {ended.exit_code}" + (f", measured {number:g}" if number is not None else ""),
        passed=int(good),
        total=1,
        measure=number if number is not None else float(good),
        findings=() if good else (failed,),
        seconds=ended.seconds,
        evidence=evidence_of(ended),
    )


def measured(text: str) -> float | None:
    """The number on the last line; None where there is none that is finite."""
    lines = text.strip().splitlines()
    if not lines:
        return None
    try:
        value = json.loads(lines[-1])
    except ValueError:
        return None
    if isinstance(value, dict):
        value = value.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
