"""How a probe's findings become its result: the measure is their number, lower is better."""

from __future__ import annotations

from collections.abc import Sequence

from bessemer.actors.probes.base import ProbeFinding, ProbeResult, ProbeStatus
from bessemer.cluster.sandbox import SandboxResult

MAX_FINDINGS = 500
EVIDENCE_CHARACTERS = 8000


def from_findings(
    probe: str,
    findings: Sequence[ProbeFinding],
    *,
    looked_at: Sequence[str],
    skipped: Sequence[str] = (),
    seconds: float = 0.0,
    artefacts: tuple[str, ...] = (),
) -> ProbeResult:
    """Failed where a finding is at least minor; `total` counts files looked at, `passed` those without one."""
    grave = [one for one in findings if one.severity != "info"]
    bad = {one.file for one in grave}
    count = f"{len(findings)} finding{'' if len(findings) == 1 else 's'} in {len(looked_at)} files"
    if skipped:
        count += f"; {len(skipped)} not read (binary or over 2 MB)"
    return ProbeResult(
        probe=probe,
        status="failed" if grave else "passed",
        summary=count,
        passed=sum(1 for file in looked_at if file not in bad),
        total=len(looked_at),
        measure=float(len(findings)),
        better="lower",
        findings=tuple(findings[:MAX_FINDINGS]),
        seconds=seconds,
        evidence="\n".join(f"{one.file}:{one.line}: {one.code} {one.message}" for one in findings)[
            :EVIDENCE_CHARACTERS
        ],
        artefacts=artefacts,
    )


def nothing_here(probe: str, what: str) -> ProbeResult:
    return ProbeResult(probe=probe, status="not_applicable", summary=f"no {what} here")


def ended_early(probe: str, ended: SandboxResult) -> ProbeResult | None:
    """The result where the sandbox ended the command: `timeout` or `error`, never a verdict."""
    if not ended.killed_reason:
        return None
    if ended.timed_out:
        return unjudged(probe, "timeout", f"no end after {ended.seconds:.0f} s", ended)
    return unjudged(probe, "error", f"ended by the sandbox: {ended.killed_reason}", ended)


def unjudged(probe: str, status: ProbeStatus, summary: str, ended: SandboxResult) -> ProbeResult:
    return ProbeResult(probe=probe, status=status, summary=summary, seconds=ended.seconds, evidence=evidence_of(ended))


def evidence_of(ended: SandboxResult) -> str:
    return "\n".join(part for part in (ended.stdout, ended.stderr) if part)[-EVIDENCE_CHARACTERS:]
