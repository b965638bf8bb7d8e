"""pytest, by its JUnit report: how many tests pass, and a finding for each that does not."""

from __future__ import annotations

import shlex
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from bessemer.actors.probes._workspace import private_copy
from bessemer.actors.probes.base import DeliverableClass, ProbeFinding, ProbeRequest, ProbeResult
from bessemer.cluster.sandbox import SandboxPolicy, SandboxResult, run

REPORT = ".bessemer-junit.xml"


class PytestProbe:
    """Measure: passed tests, higher is better."""

    name = "pytest"
    classes: frozenset[DeliverableClass] = frozenset({"produces_output", "interactive"})

    def applies(self, files: list[str]) -> bool:
        names = [Path(file).name for file in files]
        return any(name.startswith("test_") or name.endswith("_test.py") for name in names if name.endswith(".py"))

    async def run(self, request: ProbeRequest) -> ProbeResult:
        arguments = shlex.split(request.probe)[1:] if " " in request.probe else []
        python = request.interpreter or sys.executable
        with private_copy(request.workspace) as place:
            command = [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--junitxml={REPORT}", *arguments]
            policy = SandboxPolicy(
                workspace=str(place),
                timeout=request.timeout,
                read_only=(str(Path(python).parent.parent), str(Path(python).resolve().parent.parent)),
                env={"PYTHONPATH": f"{place}:{place / 'src'}"},
            )
            ended = await run(command, policy)
            report = place / REPORT
            xml = report.read_text(errors="replace") if report.exists() else ""
        return _read(request.probe, ended, xml)


def _read(name: str, ended: SandboxResult, xml: str) -> ProbeResult:
    evidence = (ended.stdout + ended.stderr)[-8000:]
    if ended.timed_out:
        return ProbeResult(
            probe=name, status="timeout", summary=f"no end after {ended.seconds:.0f} s", evidence=evidence
        )
    try:
        cases = list(ElementTree.fromstring(xml).iter("testcase"))  # noqa: S314  (written in the sandbox, no entities)
    except ElementTree.ParseError:
        cases = []
    if not cases:
        why = ended.killed_reason or f"exit code {ended.exit_code}"
        return ProbeResult(probe=name, status="error", summary=f"no test ran ({why})", evidence=evidence)
    bad = [found for case in cases if (found := _finding(case)) is not None]
    passed = sum(1 for case in cases if not any(child.tag in ("failure", "error", "skipped") for child in case))
    counted = passed + len(bad)
    return ProbeResult(
        probe=name,
        status="passed" if not bad and passed else "failed",
        summary=f"{passed} of {counted} tests passed",
        passed=passed,
        total=counted,
        measure=float(passed),
        findings=tuple(bad),
        seconds=ended.seconds,
        evidence=evidence,
    )


def _finding(case: ElementTree.Element) -> ProbeFinding | None:
    for child in case:
        if child.tag in ("failure", "error"):
            module = (case.get("classname") or "").replace(".", "/")
            file = f"{module}.py" if module else ""
            return ProbeFinding(
                code=f"{file}::{case.get('name', '')}",
                message=" ".join((child.get("message") or child.tag).split())[:500],
                file=file,
                detail=(child.text or "")[-4000:],
            )
    return None
