"""What a refinement leaves in the lake, beside what hosts record of calls and reviewers."""

from __future__ import annotations

from bessemer.actors.builders.base import BuildResult
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewers import Evaluation
from bessemer.cluster.ledger.operations import LakeRecord, Spending
from bessemer.cluster.records import ProbeRecord, RoundRecord, ScoreRecord, StepRecord, VerdictRecord
from bessemer.cluster.run import Ticket
from bessemer.pipelines.refine._plan import RoundSummary


def probe_rows(ticket: Ticket, number: int, commit: str, probes: tuple[ProbeResult, ...]) -> list[LakeRecord]:
    """One `probes` row for each measurement of a commit. Round 0 is the work as it was taken in."""
    return [
        ProbeRecord(
            run=ticket.run,
            path=ticket.path,
            round=number,
            probe=one.probe,
            status=one.status,
            passed=one.passed,
            total=one.total,
            measure=one.measure,
            better=one.better,
            findings=len(one.findings),
            seconds=one.seconds,
            commit=commit,
        ).to_lake()
        for one in probes
    ]


def build_row(ticket: Ticket, backend: str, result: BuildResult, spent: Spending) -> LakeRecord:
    """The `steps` row of one candidate."""
    return StepRecord(
        run=ticket.run,
        path=ticket.path,
        kind="build",
        status=result.status,
        seconds=round(sum(float(entry.get("seconds", 0.0)) for entry in result.trace), 3),
        backend=backend,
        tool_calls=result.tool_calls,
        tool_errors=result.tool_errors,
        calls=spent.calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost=spent.cost,
        commit=result.commit or None,
        failure=result.failure.kind if result.failure else None,
    ).to_lake()


def verdict_rows(
    ticket: Ticket, number: int, criteria: CriteriaSet, evaluation: Evaluation, commit: str
) -> list[LakeRecord]:
    """The `verdicts` row of an evaluation and a `scores` row for every criterion it scored."""
    scores = score_rows(ticket, number, criteria, evaluation, commit)
    return [*scores, verdict_row(ticket, number, criteria, evaluation, commit, judges=1, agreeing=1)]


def score_rows(
    ticket: Ticket, number: int, criteria: CriteriaSet, evaluation: Evaluation, commit: str
) -> list[LakeRecord]:
    """A `scores` row for every criterion that one judge scored."""
    verdict, known = evaluation.verdict, criteria.by_id()
    dispatch, asked = evaluation.dispatch, criteria.content_hash
    return [
        ScoreRecord(
            run=ticket.run,
            path=ticket.path,
            round=number,
            criterion=one.criterion,
            category=known[one.criterion].category if one.criterion in known else "",
            score=one.score,
            judge=verdict.judge,
            persona_content_hash=dispatch.persona_content_hash,
            backend=dispatch.backend or None,
            model=dispatch.model or None,
            evidence=one.evidence or None,
            evidence_found=one.evidence_found,
            contradicts=one.contradicts,
            criteria_hash=asked,
            commit=commit,
        ).to_lake()
        for one in verdict.scores
    ]


def verdict_row(
    ticket: Ticket,
    number: int,
    criteria: CriteriaSet,
    evaluation: Evaluation,
    commit: str,
    *,
    judges: int,
    agreeing: int,
) -> LakeRecord:
    """The `verdicts` row of an evaluation by `judges`, of whom `agreeing` came to it alone."""
    verdict = evaluation.verdict
    return VerdictRecord(
        run=ticket.run,
        path=ticket.path,
        round=number,
        verdict=verdict.verdict,
        judge=verdict.judge,
        failed_criteria=list(verdict.failed_criteria),
        not_scored=[one.criterion for one in verdict.not_scored],
        explanation=verdict.explanation,
        judges=judges,
        judges_agreeing=agreeing,
        criteria_hash=criteria.content_hash,
        commit=commit,
    ).to_lake()


def round_row(run: str, summary: RoundSummary, asked: str) -> LakeRecord:
    """The `rounds` row of a round that was judged by the criteria whose hash is `asked`."""
    return RoundRecord(
        run=run,
        path=f"round-{summary.number}",
        round=summary.number,
        commit=summary.commit,
        verdict=summary.verdict,
        guard=summary.guard,
        ceiling=summary.ceiling,
        tasks_tried=summary.tasks_tried,
        tasks_accepted=summary.tasks_accepted,
        seconds=summary.seconds,
        calls=summary.calls,
        input_tokens=summary.input_tokens,
        output_tokens=summary.output_tokens,
        cost=summary.cost,
        in_doubt=summary.in_doubt,
        criteria_hash=asked,
    ).to_lake()
