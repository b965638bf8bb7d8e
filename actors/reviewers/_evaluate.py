"""The round evaluator: a model's scores, checked; or the probes alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from bessemer.actors.builders.base import Journal
from bessemer.actors.judging import (
    check_next_tasks,
    tasks_from_findings,
    verdict_from_probes,
    verdict_from_scores,
)
from bessemer.actors.judging.types import (
    ApproachAssessment,
    Breakthrough,
    CriterionScore,
    Finding,
    NextTasks,
    NotScored,
    ParadigmShift,
    Preserve,
    SuccessContract,
    Task,
    TaskMetadata,
    Verdict,
)
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewers._answers import EvaluationAnswer, FindingAnswer, NextTasksAnswer, ScoreAnswer, TaskAnswer
from bessemer.actors.reviewers._critique import critique_of_answer, critique_of_probes
from bessemer.actors.reviewers._dispatch import Dispatch, dispatched, finding_id, measured
from bessemer.actors.reviewers._evidence import EvidenceIndex
from bessemer.actors.reviewers._material import Subject, material_for
from bessemer.actors.reviewers._persona import PROBES, Persona
from bessemer.actors.reviewers._review import Prompt, Review, ReviewSettings, review

_ASK = """Evaluate the deliverable above against every criterion above, each exactly once: {ids}.
Scores are whole numbers from 1 to 10, or null."""


class Evaluation(BaseModel):
    """What judging a round brought."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Verdict
    critique_md: str
    """Text of `critique_packet.md`."""
    next_tasks: NextTasks | None = None
    """None where there is nothing left to do."""
    findings: tuple[Finding, ...] = ()
    dispatch: Dispatch


async def evaluate(subject: Subject, persona: Persona, journal: Journal, settings: ReviewSettings) -> Evaluation:
    """Have a model score the deliverable; code computes the verdict.

    A refusal, a broken answer or a failing call gives `not_judged` with the reason, never a score. Raises what the
    journal raises.
    """
    material = await asyncio.to_thread(material_for, subject, settings.inline_bytes)
    evidence = EvidenceIndex(material.trees[""].texts, subject.probes)
    ids = ", ".join(one.id for one in subject.criteria.criteria)
    answered: Review[EvaluationAnswer] = await review(
        persona,
        Prompt(material, _ASK.format(ids=ids)),
        EvaluationAnswer,
        journal,
        settings,
        lambda answer: problems_of(answer, subject, evidence, settings.backend),
    )
    if answered.answer is None:
        return _without_answer(subject, persona, settings.backend, answered)
    named = len(_findings(answered.answer.findings, evidence, subject))
    dispatch = dispatched(persona, settings.backend, answered, named)
    return conclude(answered.answer, subject, evidence, settings.backend, dispatch)


def conclude(
    answer: EvaluationAnswer, subject: Subject, evidence: EvidenceIndex, judge: str, dispatch: Dispatch
) -> Evaluation:
    """What follows from a judge's answer: verdict, critique and tasks."""
    verdict = _verdict(answer, subject, evidence, judge)
    findings = _findings(answer.findings, evidence, subject)
    next_tasks = _next_tasks(answer, subject, verdict, findings)
    return Evaluation(
        verdict=verdict,
        critique_md=critique_of_answer(answer, verdict, findings, next_tasks),
        next_tasks=next_tasks,
        findings=findings,
        dispatch=dispatch,
    )


def evaluate_by_probes(subject: Subject, attempts: Mapping[str, int] | None = None) -> Evaluation:
    """The evaluation where no model may judge: scores from measurements, tasks from findings.

    `attempts` counts earlier tries by task id; tasks tried least come first.
    """
    verdict = verdict_from_probes(subject.criteria, subject.probes, subject.not_verified)
    findings = findings_of(subject.probes, subject)
    tasks = tasks_from_findings(subject.probes, goal=subject.goal, criteria=subject.criteria, attempts=attempts)
    return Evaluation(
        verdict=verdict,
        critique_md=critique_of_probes(verdict, subject.criteria, subject.probes),
        next_tasks=None if verdict.verdict == "converged" else tasks,
        findings=findings,
        dispatch=measured(PROBES, len(findings)),
    )


def findings_of(probes: Sequence[ProbeResult], subject: Subject) -> tuple[Finding, ...]:
    """What probes found, as findings of the same kind as reviewers name; each once."""
    bound = {one.probe: one.id for one in subject.criteria.criteria if one.probe}
    found: dict[str, Finding] = {}
    for probe in probes:
        for one in probe.findings:
            key = finding_id("evaluation", f"{probe.probe} {one.code} {one.message}", f"{one.file}:{one.line}")
            found[key] = Finding(
                finding_id=key,
                title=f"{probe.probe}: {one.code} {one.message}".strip()[:200],
                body=one.detail,
                severity=one.severity,
                klass="tests" if "test" in probe.probe else "measured",
                criterion=bound.get(probe.probe, ""),
                file=one.file,
                line=one.line,
                evidence=one.message,
                evidence_found=True,
            )
    return tuple(found.values())


def problems_of(answer: EvaluationAnswer, subject: Subject, evidence: EvidenceIndex, backend: str) -> list[str]:
    """What a second try should correct: scores first, then quotations, then tasks."""
    known = subject.criteria.by_id()
    counts = {key: sum(one.criterion == key for one in answer.scores) for key in known}
    problems = [f"scores: {key} is scored {n} times; score it once" for key, n in counts.items() if n != 1]
    for n, one in enumerate(answer.scores):
        if one.criterion not in known:
            problems.append(f"scores[{n}].criterion: {one.criterion!r} is no criterion; they are {', '.join(known)}")
        if one.score is not None and not 1 <= one.score <= 10:
            problems.append(f"scores[{n}].score: {one.score} is not 1 to 10")
        if evidence.find(one.evidence).known is False:
            problems.append(f"scores[{n}].evidence: this is not in the deliverable; quote exactly or leave it empty")
    for n, found in enumerate(answer.findings):
        if evidence.find(found.evidence, found.file).known is False:
            problems.append(f"findings[{n}].evidence: this is not in the deliverable; quote exactly or leave it empty")
    if problems:
        return problems
    verdict = _verdict(answer, subject, evidence, backend)
    if answer.next_tasks is None:
        return ["next_tasks: is null, but not every criterion is met"] if verdict.verdict == "iterate" else []
    if verdict.verdict == "converged":
        return []
    return [f"next_tasks.{error}" for error in _task_problems(answer.next_tasks, subject)]


def _task_problems(answer: NextTasksAnswer, subject: Subject) -> list[str]:
    contract = answer.success_contract
    empty = [key for key in ("fail_if_any", "required_evidence") if not getattr(contract, key)]
    if empty:
        return [f"success_contract.{key}: is empty" for key in empty]
    return [str(error) for error in check_next_tasks(_as_next_tasks(answer), subject.criteria)]


def _verdict(answer: EvaluationAnswer, subject: Subject, evidence: EvidenceIndex, backend: str) -> Verdict:
    scores = [_score(one, evidence) for one in answer.scores]
    known = subject.criteria.by_id()
    kept = [
        Preserve(criterion_id=one.criterion, what=one.what, source="evaluator")
        for one in answer.preserve
        if one.criterion in known
    ]
    return verdict_from_scores(
        subject.criteria,
        scores,
        subject.probes,
        judge=backend,
        preserve=kept,
        not_verified=subject.not_verified,
    )


def _score(one: ScoreAnswer, evidence: EvidenceIndex) -> CriterionScore | NotScored:
    if one.score is None:
        return NotScored(criterion=one.criterion, why="abstained", message=one.reason[:300])
    if not 1 <= one.score <= 10:
        return NotScored(criterion=one.criterion, why="malformed", message=f"the score {one.score} is not 1 to 10")
    return CriterionScore(
        criterion=one.criterion,
        score=one.score,
        reason=one.reason,
        evidence=one.evidence,
        evidence_found=evidence.find(one.evidence).known,
    )


def _findings(answers: Sequence[FindingAnswer], evidence: EvidenceIndex, subject: Subject) -> tuple[Finding, ...]:
    known = subject.criteria.by_id()
    found: dict[str, Finding] = {}
    for one in answers:
        place = evidence.find(one.evidence, one.file)
        key = finding_id("evaluation", one.title, one.file)
        found.setdefault(
            key,
            Finding(
                finding_id=key,
                title=one.title[:200],
                body=one.body,
                severity=one.severity,
                klass=one.klass or "unclassified",
                criterion=one.criterion if one.criterion in known else "",
                file=place.file or one.file,
                line=place.line,
                evidence=one.evidence,
                evidence_found=place.known,
            ),
        )
    return tuple(found.values())


def _next_tasks(
    answer: EvaluationAnswer, subject: Subject, verdict: Verdict, findings: Sequence[Finding]
) -> NextTasks | None:
    """The model's tasks where they make sense; else tasks from the findings that hold, its own and the probes'."""
    if verdict.verdict == "converged":
        return None
    if answer.next_tasks is not None and not _task_problems(answer.next_tasks, subject):
        return _as_next_tasks(answer.next_tasks)
    by_code = tasks_from_findings(subject.probes, goal=subject.goal, criteria=subject.criteria)
    fixes = [task_of(finding) for finding in findings if finding.evidence_found is not False]
    if not fixes:
        return by_code
    return by_code.model_copy(
        update={
            "objective": "Repair what the evaluator and the probes found",
            "fix_tasks": (*by_code.fix_tasks, *fixes),
            "evolution_tasks": (),
        }
    )


def task_of(finding: Finding) -> Task:
    """The task to repair one finding."""
    place = f" ({finding.file}:{finding.line})" if finding.file else ""
    return Task(
        id=f"fix-{finding.finding_id}",
        description=f"{finding.title}{place}",
        implementation_guidance=finding.body,
        priority="high" if finding.severity in ("blocker", "major") else "medium",
        files=(finding.file,) if finding.file and ".." not in finding.file.split("/") else (),
        success_criteria=f"no longer so: {finding.title}",
        metadata=TaskMetadata(relates_to=(finding.criterion,) if finding.criterion else ()),
    )


def _as_next_tasks(answer: NextTasksAnswer) -> NextTasks:
    contract = answer.success_contract.model_dump()
    return NextTasks(
        objective=answer.objective,
        primary_strategy=answer.primary_strategy,
        why_this_strategy=answer.why_this_strategy,
        strategy_mode=answer.strategy_mode,
        incremental_override_reason=answer.incremental_override_reason,
        success_contract=SuccessContract.model_validate(contract),
        approach_assessment=ApproachAssessment(
            ceiling_status=answer.ceiling_status,
            ceiling_explanation=answer.ceiling_explanation,
            breakthroughs=tuple(Breakthrough(**one.model_dump()) for one in answer.breakthroughs),
            paradigm_shift=ParadigmShift.model_validate(answer.paradigm_shift.model_dump()),
        ),
        deprioritize_or_remove=tuple(answer.deprioritize_or_remove),
        fix_tasks=tuple(_as_task(one, evolution=False) for one in answer.fix_tasks),
        evolution_tasks=tuple(_as_task(one, evolution=True) for one in answer.evolution_tasks),
    )


def _as_task(answer: TaskAnswer, *, evolution: bool) -> Task:
    fields = answer.model_dump(exclude={"impact", "relates_to", "verification"})
    verification = {"verification": answer.verification} if answer.verification.strip() else {}
    return Task.model_validate(
        {
            **fields,
            **verification,
            "task_category": "evolution" if evolution else "fix",
            "metadata": {"impact": answer.impact, "relates_to": answer.relates_to},
        }
    )


def _without_answer(subject: Subject, persona: Persona, backend: str, failed: Review[EvaluationAnswer]) -> Evaluation:
    if failed.status == "abstained":
        silent = [NotScored(criterion=c.id, why="abstained", message=failed.message) for c in subject.criteria.criteria]
    else:
        why = "malformed" if failed.kind == "malformed_output" else "failed"
        silent = [NotScored(criterion=c.id, why=why, message=failed.message) for c in subject.criteria.criteria]
    verdict = verdict_from_scores(
        subject.criteria, silent, subject.probes, judge=backend, not_verified=subject.not_verified
    )
    return Evaluation(
        verdict=verdict,
        critique_md=critique_of_probes(verdict, subject.criteria, subject.probes),
        next_tasks=tasks_from_findings(subject.probes, goal=subject.goal, criteria=subject.criteria),
        dispatch=dispatched(persona, backend, failed),
    )
