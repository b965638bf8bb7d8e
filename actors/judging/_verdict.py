"""Verdicts, computed by code.

Three questions are each answered yes, no or not known: is every must met, do should and could reach the cutoff
together, did every probe that judged pass. One no is `iterate`; all yes is `converged`; anything else is
`not_judged`. A failure, a time-out and an abstention are `not known`: they can never be counted as no, nor as yes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from bessemer.actors.judging._claims import contradicted_probe
from bessemer.actors.judging._scoring import CUTOFF, score_criterion
from bessemer.actors.judging.types import (
    CriteriaSet,
    Criterion,
    CriterionScore,
    NotScored,
    Preserve,
    Verdict,
)
from bessemer.actors.probes.base import ProbeResult

Judged = CriterionScore | NotScored
_WEIGHT = {"should": 2, "could": 1}


def verdict_from_probes(
    criteria: CriteriaSet, probes: Sequence[ProbeResult], not_verified: Sequence[str] = (), cutoff: int = CUTOFF
) -> Verdict:
    """The verdict where no model may judge. Deliverable classes in `not_verified` keep it from `converged`."""
    judged = [score_criterion(criterion, probes, cutoff) for criterion in criteria.criteria]
    return _conclude(criteria, judged, probes, cutoff, judge="probes", not_verified=not_verified, blind=not_verified)


def verdict_from_scores(
    criteria: CriteriaSet,
    scores: Sequence[Judged],
    probes: Sequence[ProbeResult],
    cutoff: int = CUTOFF,
    *,
    judge: str,
    preserve: Sequence[Preserve] = (),
    not_verified: Sequence[str] = (),
) -> Verdict:
    """The verdict from a model's scores, checked against the probes.

    A passing score that a probe contradicts is marked and capped below the cutoff; a passing score whose quotation is
    not in the deliverable is kept, marked, and counted as not known; a criterion without a score is NotScored. Scores
    for unknown criteria are ignored.
    """
    judged = [_one(criterion, scores, probes, cutoff) for criterion in criteria.criteria]
    return _conclude(criteria, judged, probes, cutoff, judge=judge, preserve=preserve, not_verified=not_verified)


def _one(criterion: Criterion, scores: Sequence[Judged], probes: Sequence[ProbeResult], cutoff: int) -> Judged:
    mine = [score for score in scores if score.criterion == criterion.id]
    if not mine:
        return NotScored(criterion=criterion.id, why="abstained", message="the judge gave no score")
    if len(mine) > 1:
        message = f"the judge scored it {len(mine)} times"
        return NotScored(criterion=criterion.id, why="malformed", message=message)
    score = mine[0]
    if isinstance(score, NotScored):
        return score
    if not 1 <= score.score <= 10:
        return NotScored(criterion=criterion.id, why="malformed", message=f"the score {score.score} is not 1 to 10")
    return mark_contradiction(criterion, score, probes, cutoff)


def mark_contradiction(
    criterion: Criterion, score: CriterionScore, probes: Sequence[ProbeResult], cutoff: int = CUTOFF
) -> CriterionScore:
    """The score as the probes let it stand: marked with the probe it contradicts, and capped below the cutoff."""
    failed = {probe.probe: probe for probe in probes if probe.status == "failed"}
    against = criterion.probe if criterion.probe in failed and score.score >= cutoff else ""
    against = against or contradicted_probe(score.reason, list(failed.values()))
    if not against:
        return score
    return score.model_copy(update={"contradicts": against, "score": min(score.score, cutoff - 1)})


class _Answer(NamedTuple):
    """Yes, no, or None for not known; with why it is not yes."""

    yes: bool | None
    because: str = ""


def _conclude(
    criteria: CriteriaSet,
    judged: Sequence[Judged],
    probes: Sequence[ProbeResult],
    cutoff: int,
    *,
    judge: str,
    preserve: Sequence[Preserve] = (),
    not_verified: Sequence[str] = (),
    blind: Sequence[str] = (),
) -> Verdict:
    scores = tuple(one for one in judged if isinstance(one, CriterionScore))
    answers = [
        *(_met(criterion, one, cutoff) for criterion, one in _pairs(criteria, judged, ("must",))),
        _together(_pairs(criteria, judged, ("should", "could")), cutoff),
        *(_Answer(False, f"{probe.probe}: {probe.summary}") for probe in probes if probe.status == "failed"),
        *(_Answer(None, f"{klass} work was not verified: no probe here can") for klass in blind),
    ]
    verdict, explanation = _word(answers, bool(scores))
    return Verdict(
        verdict=verdict,
        judge=judge,
        scores=scores,
        not_scored=tuple(one for one in judged if isinstance(one, NotScored)),
        failed_criteria=tuple(score.criterion for score in scores if score.score < cutoff),
        preserve=tuple(preserve),
        explanation=explanation,
        not_verified=tuple(not_verified),
    )


def _word(answers: Sequence[_Answer], scored: bool) -> tuple[Literal["converged", "iterate", "not_judged"], str]:
    noes = [answer.because for answer in answers if answer.yes is False]
    unknown = [answer.because for answer in answers if answer.yes is None]
    if not scored:
        return "not_judged", _sentence("no criterion has a score: ", noes + unknown)
    if noes:
        return "iterate", _sentence("not yet: ", noes + unknown)
    if unknown:
        return "not_judged", _sentence("not known: ", unknown)
    return "converged", "every must criterion is met, and every probe that judged passed"


def _sentence(lead: str, reasons: Sequence[str]) -> str:
    # Sorted, so that the order in which judges answered cannot show.
    return lead + "; ".join(dict.fromkeys(sorted(reason for reason in reasons if reason)))


def _pairs(
    criteria: CriteriaSet, judged: Sequence[Judged], categories: tuple[str, ...]
) -> list[tuple[Criterion, Judged]]:
    both = zip(criteria.criteria, judged, strict=True)
    return [(criterion, one) for criterion, one in both if criterion.category in categories]


def _met(criterion: Criterion, one: Judged, cutoff: int) -> _Answer:
    if isinstance(one, NotScored):
        return _Answer(None, f"{criterion.id} has no score ({one.message or one.why})")
    if one.score < cutoff:
        against = f", contradicted by {one.contradicts}" if one.contradicts else ""
        return _Answer(False, f"{criterion.id} scores {one.score} of 10{against}")
    if one.evidence_found is False:
        return _Answer(None, f"{criterion.id} rests on a quotation that is not in the deliverable")
    return _Answer(True)


def _together(pairs: Sequence[tuple[Criterion, Judged]], cutoff: int) -> _Answer:
    """Whether should (weight 2) and could (weight 1) reach the cutoff on average.

    A `should` that was to be scored and was not leaves it open only where its score could still decide; a `could`
    without a score, and what nothing here can score, stay out of the average.
    """
    known = weight = open_weight = 0
    for criterion, one in pairs:
        met = _met(criterion, one, cutoff).yes
        if isinstance(one, CriterionScore) and met is not None:
            known += _WEIGHT[criterion.category] * one.score
            weight += _WEIGHT[criterion.category]
        elif criterion.category == "should" and not (isinstance(one, NotScored) and one.why == "no_probe"):
            open_weight += _WEIGHT[criterion.category]
    total = weight + open_weight
    if known + open_weight >= cutoff * total:
        return _Answer(True)
    if known + 10 * open_weight < cutoff * total:
        below = ", ".join(f"{c.id} {o.score}" for c, o in pairs if isinstance(o, CriterionScore) and o.score < cutoff)
        return _Answer(False, f"the should and could criteria average below {cutoff} ({below})")
    return _Answer(None, "should criteria without a score could still decide")


class Measured(Protocol):
    """One round as the plateau rule sees it."""

    @property
    def scores(self) -> Mapping[str, int]: ...

    @property
    def probes(self) -> Sequence[ProbeResult]: ...


def plateau(history: Sequence[Measured], rounds: int = 2) -> bool:
    """Whether each of the last `rounds` rounds brought no criterion more than 1 point and improved no probe.

    `history` is oldest first. A round that cannot be compared with the one before it is not called a plateau.
    """
    if len(history) <= rounds:
        return False
    pairs = zip(history[-rounds - 1 : -1], history[-rounds:], strict=True)
    return all(_stood_still(before, after) for before, after in pairs)


def _stood_still(before: Measured, after: Measured) -> bool:
    common = before.scores.keys() & after.scores.keys()
    older = {probe.probe: probe for probe in before.probes}
    compared = [(probe, older[probe.probe]) for probe in after.probes if probe.probe in older]
    judged = [(new, old) for new, old in compared if new.judged and old.judged]
    if not common and not judged:
        return False
    gained = any(after.scores[key] - before.scores[key] > 1 for key in common)
    return not gained and not any(new.improves_on(old) for new, old in judged)


def summary_lines(verdict: Verdict, criteria: CriteriaSet) -> list[str]:
    """The verdict for people: one line for it, then one per criterion."""
    scores = {score.criterion: score for score in verdict.scores}
    silent = {one.criterion: one for one in verdict.not_scored}
    lines = [f"{verdict.verdict} (judged by {verdict.judge}): {verdict.explanation}"]
    for criterion in criteria.criteria:
        if score := scores.get(criterion.id):
            note = f", contradicts {score.contradicts}" if score.contradicts else ""
            note += ", its quotation was not found" if score.evidence_found is False else ""
            lines.append(f"{criterion.id} {score.score:>2}/10 {criterion.category:<6} {criterion.text}{note}")
        elif one := silent.get(criterion.id):
            lines.append(f"{criterion.id}  -/10 {criterion.category:<6} {criterion.text}: {one.message or one.why}")
    return lines + [f"not verified: {klass}" for klass in verdict.not_verified]
