"""`critique_packet.md`: what a round's evaluation says to people and to the next round's builders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bessemer.actors.judging import all_tasks
from bessemer.actors.judging.types import CriteriaSet, Finding, NextTasks, Verdict
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewers._answers import EvaluationAnswer
from bessemer.actors.reviewers._material import headed


def critique_of_answer(
    answer: EvaluationAnswer, verdict: Verdict, findings: Sequence[Finding], next_tasks: NextTasks | None
) -> str:
    """The packet from a model's answer. It holds no scores: those are in `verdict.json`."""
    assessment = next_tasks.approach_assessment if next_tasks else None
    sections = {
        "criteria_interpretation": answer.criteria_interpretation,
        "criterion_findings": _bullets(_reason(one.criterion, one.reason, one.evidence) for one in answer.scores),
        "findings": _bullets(_finding(one) for one in findings),
        "unexplored_approaches": _bullets(answer.unexplored),
        "approach_assessment": f"{assessment.ceiling_status}: {assessment.ceiling_explanation}" if assessment else "",
        "preserve": _bullets(f"{one.criterion_id}: {one.what}" for one in verdict.preserve),
        "improvement_spec": _spec(next_tasks),
        "evidence_gaps": _bullets([*answer.evidence_gaps, *_doubts(verdict)]),
        "Evaluation Summary": _summary(verdict, next_tasks),
    }
    return headed(sections) + "\n"


def critique_of_probes(verdict: Verdict, criteria: CriteriaSet, probes: Sequence[ProbeResult]) -> str:
    """The packet where only probes speak."""
    silent = {one.criterion: one.message or one.why for one in verdict.not_scored}
    said = {one.criterion: one.reason for one in verdict.scores}
    lines = [f"{one.id} {one.text}: {said.get(one.id) or silent.get(one.id, '')}" for one in criteria.criteria]
    findings = [
        f"{probe.probe}: {one.file}:{one.line} {one.code} {one.message}" for probe in probes for one in probe.findings
    ]
    sections = {
        "criterion_findings": _bullets(lines),
        "findings": _bullets(findings),
        "evidence_gaps": _bullets(_doubts(verdict)),
        "Evaluation Summary": _summary(verdict, None),
    }
    return headed(sections) + "\n"


def _reason(criterion: str, reason: str, evidence: str) -> str:
    quoted = " ".join(evidence.split())
    return f"{criterion}: {' '.join(reason.split())}" + (f' ("{quoted}")' if quoted else "")


def _finding(finding: Finding) -> str:
    place = f" ({finding.file}:{finding.line})" if finding.line else (f" ({finding.file})" if finding.file else "")
    unproved = " [its quotation is not in the deliverable]" if finding.evidence_found is False else ""
    return f"{finding.severity}, {finding.klass}: {finding.title}{place}{unproved}. {finding.body}".strip()


def _spec(next_tasks: NextTasks | None) -> str:
    if next_tasks is None:
        return ""
    contract = next_tasks.success_contract
    head = [
        f"Objective: {next_tasks.objective}",
        f"Quality bar: {contract.quality_bar}",
        f"Fails if any: {'; '.join(contract.fail_if_any)}",
        "Execution order:",
    ]
    tasks = [f"{task.id} [{task.metadata.impact}] {task.description}" for task in all_tasks(next_tasks)]
    return "\n".join(head) + "\n" + _bullets(tasks)


def _doubts(verdict: Verdict) -> list[str]:
    doubts = [f"{one.criterion} has no score: {one.message or one.why}" for one in verdict.not_scored]
    for one in verdict.scores:
        if one.contradicts:
            doubts.append(f"{one.criterion}: the judge's claim contradicts what {one.contradicts} measured")
        if one.evidence_found is False:
            doubts.append(f"{one.criterion}: the judge's quotation is not in the deliverable")
    return doubts + [f"{klass} work was not verified by any probe" for klass in verdict.not_verified]


def _summary(verdict: Verdict, next_tasks: NextTasks | None) -> str:
    lines = [f"Verdict: {verdict.verdict} ({verdict.explanation})"]
    if next_tasks is not None:
        lines += [f"Next: {task.description}" for task in all_tasks(next_tasks)[:3]]
    return _bullets(lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)
