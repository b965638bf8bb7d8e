"""From what probes report to tasks a small model can do: one function or one finding each, those tried least first."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping, Sequence

from bessemer.actors.judging.types import Task, TaskMetadata
from bessemer.actors.probes.base import ProbeFinding, ProbeResult
from bessemer.cluster.canonical import content_hash

_SEVERITY = {"blocker": 0, "major": 1, "minor": 2, "info": 3}
_NOT_SUBJECTS = frozenset(dir(builtins)) | {"raises", "approx", "warns", "fixture"}
_SAFE = re.compile(r"[^A-Za-z0-9]+")


def tasks_from_probes(
    probes: Sequence[ProbeResult], attempts: Mapping[str, int] | None = None, limit: int = 24
) -> list[Task]:
    """At most `limit` tasks, those tried least first, then the gravest; `attempts` counts tries by task id.

    Failing tests that concern one function become one task; every other finding is a task of its own. An id depends
    on the probe, the file and the function or rule, so that it outlives the tests that come to pass. Tasks with
    different `files` or different subjects may be worked on side by side.
    """
    tried = attempts or {}
    tasks = [task for probe in probes if probe.status == "failed" for task in _of_probe(probe)]
    ranked = sorted(enumerate(tasks), key=lambda pair: (tried.get(pair[1].id, 0), _rank(pair[1]), pair[0]))
    return [task for _, task in ranked[:limit]]


def subjects(findings: Sequence[ProbeFinding]) -> list[str]:
    """The function each failing test concerns, as far as tracebacks and names tell; empty for other findings.

    A test whose own words name none takes the subject of another test that its name begins with.
    """
    told = [_subject(finding) for finding in findings]
    known = sorted({name for name in told if name}, key=len, reverse=True)
    return [name or _borrowed(finding, known) for name, finding in zip(told, findings, strict=True)]


def _subject(finding: ProbeFinding) -> str:
    if "::" not in finding.code:
        return ""
    failing = re.findall(r"^>\s+(.*)$", finding.detail, re.MULTILINE)
    where = re.findall(r"where .* = ([\w.]+)\(", finding.detail)
    calls = [*where, *(name for line in failing for name in re.findall(r"([\w.]+)\(", line))]
    names = [name.rpartition(".")[2] for name in calls]
    test = _test_name(finding)
    mine = [name for name in names if name not in _NOT_SUBJECTS]
    in_name = [name for name in mine if test.startswith(name)]
    # The failure's text holds lines of the test, so that a name in the test's own name is looked for there.
    said = [name for name in re.findall(r"([A-Za-z_]\w*)\(", finding.detail) if test.startswith(name)]
    return next(iter([*in_name, *said, *mine]), "")


def _borrowed(finding: ProbeFinding, known: list[str]) -> str:
    if "::" not in finding.code:
        return ""
    test = _test_name(finding)
    return next((name for name in known if test.startswith(name)), test)


def _test_name(finding: ProbeFinding) -> str:
    return finding.code.rpartition("::")[2].partition("[")[0].removeprefix("test_")


def _of_probe(probe: ProbeResult) -> list[Task]:
    groups: dict[tuple[str, str, str], list[ProbeFinding]] = {}
    findings = [finding for finding in probe.findings if finding.severity != "info"]
    for finding, about in zip(findings, subjects(findings), strict=True):
        single = "" if about else f"{finding.code}:{finding.line}:{finding.message}"
        groups.setdefault((_file(finding), about, single), []).append(finding)
    if not groups:
        return [_whole(probe)]
    return [_task(probe, file, about, found) for (file, about, _), found in groups.items()]


def _file(finding: ProbeFinding) -> str:
    return finding.file or (finding.code.partition("::")[0] if "::" in finding.code else "")


def _task(probe: ProbeResult, file: str, name: str, found: list[ProbeFinding]) -> Task:
    first = min(found, key=lambda one: _SEVERITY[one.severity])
    # A line moves whenever something above it is repaired, so it is no part of the identity.
    identity = [probe.probe, file, name or first.code, "" if name else first.message]
    tests = f"{len(found)} failing test{'s' if len(found) > 1 else ''} of {name}"
    what = tests if name else f"{first.code} {first.message}"
    place = f"{file}:{first.line}" if first.line and not name else file
    slug = _SAFE.sub("-", f"{name or first.code}").strip("-").lower()[:32]
    return Task(
        id=f"{_SAFE.sub('-', probe.probe).strip('-').lower()[:16]}-{slug}-{content_hash(identity)[:8]}",
        description=f"{probe.probe}: {what} ({place})" if place else f"{probe.probe}: {what}",
        implementation_guidance="\n".join(dict.fromkeys(f"{one.code}: {one.message}" for one in found)),
        priority="high" if first.severity in ("blocker", "major") else "medium",
        verification=f"{probe.probe} measures more than before and no other probe less",
        success_criteria=f"{probe.probe} no longer reports {', '.join(dict.fromkeys(one.code for one in found))}",
        failure_signals=(f"{probe.probe} measures less than before",),
        required_evidence=(f"the result of {probe.probe} after the change",),
        files=(file,) if file else (),
        probe=probe.probe,
        finding_codes=tuple(dict.fromkeys(one.code for one in found)),
        metadata=TaskMetadata(impact="incremental"),
    )


def _whole(probe: ProbeResult) -> Task:
    """A probe that failed without naming a finding."""
    return Task(
        id=f"{_SAFE.sub('-', probe.probe).strip('-').lower()[:32]}-{content_hash(probe.probe)[:8]}",
        description=f"{probe.probe}: {probe.summary}",
        implementation_guidance=probe.evidence[-4000:],
        priority="high",
        verification=f"{probe.probe} passes",
        success_criteria=f"{probe.probe} passes",
        failure_signals=(f"{probe.probe} measures less than before",),
        required_evidence=(f"the result of {probe.probe} after the change",),
        probe=probe.probe,
    )


def _rank(task: Task) -> int:
    return {"high": 0, "medium": 1, "low": 2}[task.priority]
