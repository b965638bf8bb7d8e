"""Several judges of one deliverable: harshest score of each criterion, every finding once, how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from bessemer.actors.judging import alpha_with_interval, folded, verdict_from_scores
from bessemer.actors.judging.types import CriterionScore, Finding, NextTasks, NotScored, Preserve, Verdict
from bessemer.actors.reviewers._evaluate import Evaluation, task_of
from bessemer.actors.reviewers._material import Subject


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CriterionSpread(_Frozen):
    """One criterion's scores by judge."""

    criterion: str
    scores: dict[str, int]
    spread: int | None
    """Highest less lowest score; None where fewer than two judges scored it."""


class SelfPreference(_Frozen):
    """A judge that judges what its own backend built."""

    judge: str
    difference: float | None
    """Its mean score less the others' on the same criteria; None where nobody else scored them."""


class JudgePanel(_Frozen):
    """What a panel of judges is worth as a measurement."""

    judges: tuple[str, ...]
    silent: tuple[str, ...] = ()
    """Judges that scored nothing: failed, refused or abstained."""
    spreads: tuple[CriterionSpread, ...] = ()
    mean_spread: float | None = None
    alpha: float | None = None
    """Krippendorff's alpha over criteria and judges; None where fewer than two judges scored one criterion."""
    alpha_low: float | None = None
    alpha_high: float | None = None
    position_effect: float | None = None
    """Points by which criteria score higher where they stand in the first half of the list: every second judge is
    shown them in reverse."""
    self_preference: tuple[SelfPreference, ...] = ()
    verdicts: dict[str, str] = {}
    """What each judge alone would have concluded."""


class PanelEvaluation(_Frozen):
    evaluation: Evaluation
    panel: JudgePanel


def order_swapped(subject: Subject, place: int) -> Subject:
    """The subject as the judge at `place` is shown it: every second one sees the criteria in reverse."""
    if place % 2 == 0:
        return subject
    turned = subject.criteria.model_copy(update={"criteria": tuple(reversed(subject.criteria.criteria))})
    return subject.model_copy(update={"criteria": turned})


def merge(subject: Subject, found: Sequence[Evaluation], judges: Sequence[str], builder: str) -> PanelEvaluation:
    """One evaluation from several. A judge without an answer takes nothing away and adds nothing.

    `judges` are backends in the order of `found`; `builder` is the backend that made the deliverable, if one did.
    """
    harshest = [_harshest(one.id, found) for one in subject.criteria.criteria]
    verdict = verdict_from_scores(
        subject.criteria,
        harshest,
        subject.probes,
        judge=" ".join(judges),
        preserve=_preserved(found),
        not_verified=subject.not_verified,
    )
    findings = _union(found)
    lead = min(found, key=_total)
    evaluation = Evaluation(
        verdict=verdict,
        critique_md=_critique(found, judges),
        next_tasks=None if verdict.verdict == "converged" else _tasks(lead, findings, found),
        findings=findings,
        dispatch=lead.dispatch,
    )
    return PanelEvaluation(evaluation=evaluation, panel=_panel(subject, found, judges, builder))


def _harshest(criterion: str, found: Sequence[Evaluation]) -> CriterionScore | NotScored:
    scores = [one for evaluation in found for one in evaluation.verdict.scores if one.criterion == criterion]
    if scores:
        # Of equal scores the one whose quotation was found says most.
        return min(scores, key=lambda one: (one.score, one.evidence_found is not True))
    silent = [one for evaluation in found for one in evaluation.verdict.not_scored if one.criterion == criterion]
    return silent[0] if silent else NotScored(criterion=criterion, why="abstained", message="no judge gave a score")


def _union(found: Sequence[Evaluation]) -> tuple[Finding, ...]:
    """Every finding once: the same title and file, or the same quotation in the same place, is the same finding."""
    kept: dict[str, Finding] = {}
    places: set[tuple[str, int, str]] = set()
    for evaluation in found:
        for one in evaluation.findings:
            place = (one.file, one.line, folded(one.evidence))
            if one.finding_id in kept or (one.evidence and place in places):
                continue
            kept[one.finding_id] = one
            places.add(place)
    return tuple(kept.values())


def _preserved(found: Sequence[Evaluation]) -> tuple[Preserve, ...]:
    return tuple(dict.fromkeys(one for evaluation in found for one in evaluation.verdict.preserve))


def _total(evaluation: Evaluation) -> tuple[bool, float]:
    """Judges that scored before those that did not; among them the harshest."""
    scores = [one.score for one in evaluation.verdict.scores]
    return not scores, fmean(scores) if scores else 0.0


def _tasks(lead: Evaluation, findings: Sequence[Finding], found: Sequence[Evaluation]) -> NextTasks | None:
    """The harshest judge's tasks, and one for every finding that only others named."""
    tasks = lead.next_tasks or next((one.next_tasks for one in found if one.next_tasks), None)
    if tasks is None:
        return None
    known = {one.finding_id for one in lead.findings}
    ids = {one.id for one in (*tasks.fix_tasks, *tasks.evolution_tasks)}
    others = [task_of(one) for one in findings if one.finding_id not in known and one.evidence_found is not False]
    added = tuple(one for one in others if one.id not in ids)
    return tasks.model_copy(update={"fix_tasks": (*tasks.fix_tasks, *added)})


def _critique(found: Sequence[Evaluation], judges: Sequence[str]) -> str:
    return "\n".join(f"# Judge: {judge}\n\n{one.critique_md}" for judge, one in zip(judges, found, strict=True))


def _panel(subject: Subject, found: Sequence[Evaluation], judges: Sequence[str], builder: str) -> JudgePanel:
    scored = [{one.criterion: one.score for one in evaluation.verdict.scores} for evaluation in found]
    spreads = [_spread(one.id, scored, judges) for one in subject.criteria.criteria]
    widths = [one.spread for one in spreads if one.spread is not None]
    alpha = alpha_with_interval([list(one.scores.values()) for one in spreads])
    return JudgePanel(
        judges=tuple(judges),
        silent=tuple(judge for judge, mine in zip(judges, scored, strict=True) if not mine),
        spreads=tuple(spreads),
        mean_spread=round(fmean(widths), 3) if widths else None,
        alpha=alpha.value,
        alpha_low=alpha.low,
        alpha_high=alpha.high,
        position_effect=_position_effect([one.id for one in subject.criteria.criteria], scored),
        self_preference=tuple(_preference(judge, scored, judges) for judge in judges if judge == builder),
        verdicts={judge: one.verdict.verdict for judge, one in zip(judges, found, strict=True)},
    )


def _spread(criterion: str, scored: Sequence[dict[str, int]], judges: Sequence[str]) -> CriterionSpread:
    scores = {judge: mine[criterion] for judge, mine in zip(judges, scored, strict=True) if criterion in mine}
    width = max(scores.values()) - min(scores.values()) if len(scores) > 1 else None
    return CriterionSpread(criterion=criterion, scores=scores, spread=width)


def _position_effect(ids: Sequence[str], scored: Sequence[dict[str, int]]) -> float | None:
    """Mean difference between judges that met a criterion early and judges that met it late; halves weigh the same."""
    half = len(ids) // 2
    halves: list[list[float]] = [[], []]
    for place, criterion in enumerate(ids):
        straight = [mine[criterion] for mine in scored[0::2] if criterion in mine]
        turned = [mine[criterion] for mine in scored[1::2] if criterion in mine]
        if straight and turned and (place < half or place >= len(ids) - half):
            early_is_straight = place < half
            difference = fmean(straight) - fmean(turned)
            halves[0 if early_is_straight else 1].append(difference if early_is_straight else -difference)
    # A judge that is harsher throughout moves the halves apart in opposite directions, so their mean leaves that out.
    return round((fmean(halves[0]) + fmean(halves[1])) / 2, 3) if all(halves) else None


def _preference(judge: str, scored: Sequence[dict[str, int]], judges: Sequence[str]) -> SelfPreference:
    mine = scored[list(judges).index(judge)]
    others = [one for name, one in zip(judges, scored, strict=True) if name != judge]
    differences = [
        score - fmean(theirs)
        for criterion, score in mine.items()
        if (theirs := [one[criterion] for one in others if criterion in one])
    ]
    return SelfPreference(judge=judge, difference=round(fmean(differences), 3) if differences else None)


def agreeing(verdict: Verdict, panel: JudgePanel) -> int:
    """How many judges alone came to this verdict."""
    return sum(one == verdict.verdict for one in panel.verdicts.values())
