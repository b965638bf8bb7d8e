"""ruff: lint findings of Python files."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from bessemer.actors.probes.base import DeliverableClass, ProbeFinding, ProbeRequest, ProbeResult
from bessemer.cluster.sandbox import SandboxPolicy, run


class RuffProbe:
    """Measure: findings, lower is better."""

    name = "ruff"
    classes: frozenset[DeliverableClass] = frozenset({"static", "produces_output"})

    def applies(self, files: list[str]) -> bool:
        return any(file.endswith(".py") for file in files)

    async def run(self, request: ProbeRequest) -> ProbeResult:
        words = shlex.split(request.probe)[2:] if " " in request.probe else []
        tool = str(Path(sys.executable).parent / "ruff")
        command = [tool, "check", "--no-cache", "--output-format=json", "--exit-zero", *(words or ["."])]
        policy = SandboxPolicy(workspace=request.workspace, writable=False, timeout=request.timeout)
        ended = await run(command, policy)
        evidence = (ended.stdout + ended.stderr)[-8000:]
        if ended.timed_out:
            return ProbeResult(probe=request.probe, status="timeout", summary="no end", evidence=evidence)
        try:
            found = json.loads(ended.stdout)
        except ValueError:
            return ProbeResult(probe=request.probe, status="error", summary="ruff did not run", evidence=evidence)
        findings = tuple(
            ProbeFinding(
                code=one["code"] or "syntax",
                message=one["message"],
                file=str(Path(one["filename"]).relative_to(request.workspace)),
                line=one["location"]["row"],
                severity="minor",
            )
            for one in found
        )
        return ProbeResult(
            probe=request.probe,
            status="failed" if findings else "passed",
            summary=f"{len(findings)} findings" if len(findings) != 1 else "1 finding",
            measure=float(len(findings)),
            better="lower",
            findings=findings,
            seconds=ended.seconds,
            evidence=evidence,
        )
