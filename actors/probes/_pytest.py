"""pytest, by its JUnit report: how many tests pass, and a finding for each that does not."""

from __future__ import annotations

import re
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from bessemer.actors.probes._results import ended_early, evidence_of, unjudged
from bessemer.actors.probes._workspace import private_copy
from bessemer.actors.probes.base import DeliverableClass, ProbeFinding, ProbeRequest, ProbeResult
from bessemer.cluster.sandbox import SandboxPolicy, SandboxResult, run

REPORT = ".bessemer-junit.xml"
MAX_REPORT_BYTES = 50_000_000
_PLACE = re.compile(r"^([^\s:]+\.py):(\d+):", re.MULTILINE)


class PytestProbe:
    """Measure: passed tests, higher is better. A test that cannot be collected fails; none at all is an error."""

    name = "pytest"
    classes: frozenset[DeliverableClass] = frozenset({"produces_output"})

    def applies(self, files: list[str]) -> bool:
        names = [Path(file).name for file in files if file.endswith(".py")]
        return any(name.startswith("test_") or name.endswith("_test.py") for name in names)

    async def run(self, request: ProbeRequest) -> ProbeResult:
        python = request.interpreter or sys.executable
        async with private_copy(request.workspace) as place:
            command = [python, "-m", "pytest", "-p", "no:cacheprovider", *arguments(request.probe), *request.paths]
            command += ["--junitxml", str(place / REPORT), "-o", "junit_family=xunit1"]
            policy = SandboxPolicy(
                workspace=str(place),
                timeout=request.timeout,
                interpreter=python,
                env={"PYTHONPATH": f"{place}:{place / 'src'}"},
            )
            ended = await run(command, policy)
            xml = _report(place / REPORT)
        return ended_early(request.probe, ended) or _read(request.probe, ended, xml)


def arguments(probe: str) -> list[str]:
    """What a user wrote behind `pytest` or `python -m pytest`; `-q` where nothing was written."""
    words = shlex.split(probe)
    return words[words.index("pytest") + 1 :] if "pytest" in words[1:] else words[1:] or ["-q"]


def _report(path: Path) -> str:
    """The report's text; empty where the work put a link or something huge in its place."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_REPORT_BYTES:
        return ""
    text = path.read_text(errors="replace")
    return "" if "<!DOCTYPE" in text[:1000] else text


def _read(name: str, ended: SandboxResult, xml: str) -> ProbeResult:
    try:
        cases = list(ElementTree.fromstring(xml).iter("testcase"))  # noqa: S314  (a document type is refused above)
    except ElementTree.ParseError:
        cases = []
    if not cases:
        why = "no test was collected" if ended.exit_code == 5 else f"no test ran (exit code {ended.exit_code})"
        return unjudged(name, "error", why, ended)
    bad = tuple(found for case in cases if (found := _finding(case)) is not None)
    passed = sum(1 for case in cases if not any(child.tag in ("failure", "error", "skipped") for child in case))
    counted = passed + len(bad)
    if not counted:
        return unjudged(name, "error", "every test was skipped", ended)
    whole = not bad and ended.exit_code == 0
    return ProbeResult(
        probe=name,
        status="passed" if whole else "failed",
        summary=f"{passed} of {counted} tests passed"
        + ("" if whole or bad else f", but pytest ended with exit code {ended.exit_code}"),
        passed=passed,
        total=counted,
        measure=float(passed),
        findings=bad,
        seconds=ended.seconds,
        evidence=evidence_of(ended),
    )


def _finding(case: ElementTree.Element) -> ProbeFinding | None:
    failure = next((child for child in case if child.tag in ("failure", "error")), None)
    if failure is None:
        return None
    text = failure.text or ""
    module = (case.get("classname") or "").replace(".", "/")
    file = case.get("file") or (f"{module}.py" if module else "")
    if not file and case.get("name"):
        file = str(case.get("name")).replace(".", "/") + ".py"
    own = [int(line) for path, line in _PLACE.findall(text) if path == file]
    return ProbeFinding(
        code=_code(file, module, case.get("name", "")),
        message=" ".join((failure.get("message") or failure.tag).split())[:500],
        file=file,
        line=own[-1] if own else int(case.get("line") or -1) + 1,
        detail=text[-4000:],
    )


def _code(file: str, module: str, name: str) -> str:
    """The test's id as pytest takes it on its command line: file, class where there is one, name."""
    inner = module.removeprefix(file.removesuffix(".py")).strip("/").replace("/", "::")
    return "::".join(part for part in (file, inner, name) if part)
