"""The regression guard: what a candidate lost and won against the version before it, mapped by code.

In every `GuardVerdict` made here A is the previous version and B the candidate, whichever side the judge saw it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from bessemer.actors.judging._scoring import CUTOFF, score_of
from bessemer.actors.judging.types import CriteriaSet, Criterion, GuardDimension, GuardVerdict
from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.canonical import content_hash

Side = Literal["A", "B"]


def candidate_side(seed: str) -> Side:
    """The side the candidate is shown on: as good as a coin toss, and the same for the same seed on every replay."""
    return "B" if int(content_hash(f"candidate-side|{seed}")[:2], 16) % 2 else "A"


def guard_from_probes(
    before: Sequence[ProbeResult], after: Sequence[ProbeResult], criteria: CriteriaSet | None = None
) -> GuardVerdict:
    """What the probes say was lost and won. A probe that judged before and no longer does counts as lost."""
    newer = {probe.probe: probe for probe in after}
    lost = [old.probe for old in before if _lost(old, newer.get(old.probe))]
    won = [old.probe for old in before if old.probe in newer and newer[old.probe].improves_on(old)]
    dimensions = _measured(before, newer, criteria) if criteria else ()
    return _verdict(lost, won, dimensions, judge="probes")


def guard_from_blind(
    dimensions: Sequence[GuardDimension], candidate_is: Side, criteria: CriteriaSet, judge: str = "model"
) -> GuardVerdict:
    """What a judge that did not know the sides says was lost and won, mapped back.

    On a criterion that is no must, a marginal difference of one point is noise. Where the scores and the named
    stronger side disagree, whatever speaks for a loss counts: a guard errs on the side of the work there is.
    """
    known = criteria.by_id()
    mapped = [_unblind(dimension, candidate_is) for dimension in dimensions if dimension.criterion in known]
    sides = {dimension.criterion: _tendency(dimension, known[dimension.criterion]) for dimension in mapped}
    lost = [criterion for criterion, tendency in sides.items() if tendency < 0]
    won = [criterion for criterion, tendency in sides.items() if tendency > 0]
    return _verdict(lost, won, tuple(mapped), judge=judge)


def merge_guards(blind: GuardVerdict, measured: GuardVerdict) -> GuardVerdict:
    """Both together: what either saw lost is lost, and nothing that a probe saw lost counts as won."""
    lost = [*blind.lost, *measured.lost]
    won = [one for one in (*blind.won, *measured.won) if one not in lost]
    return _verdict(lost, won, blind.dimensions or measured.dimensions, judge=blind.judge)


class MixedRule(NamedTuple):
    """Whether a mixed verdict may pass where nobody is asked, and why."""

    passes: bool
    because: str


def mixed_passes(verdict: GuardVerdict, criteria: CriteriaSet) -> MixedRule:
    """Passes only if no must criterion falls, no probe falls outside the criteria, and the sum does not fall."""
    known = criteria.by_id()
    for name in verdict.lost:
        if name not in known:
            return MixedRule(False, f"{name} measures less than before")
        if known[name].category == "must":
            return MixedRule(False, f"the must criterion {name} falls")
    for one in verdict.dimensions:
        criterion = known.get(one.criterion)
        if criterion and criterion.category == "must" and one.answer_b_score < one.answer_a_score:
            return MixedRule(False, f"the must criterion {one.criterion} falls")
    if not verdict.dimensions:
        return MixedRule(False, "there are no scores to weigh what was lost against what was won")
    before = sum(one.answer_a_score for one in verdict.dimensions)
    after = sum(one.answer_b_score for one in verdict.dimensions)
    if after < before:
        return MixedRule(False, f"the sum of scores falls from {before} to {after}")
    return MixedRule(True, f"no must criterion falls, and the sum of scores goes from {before} to {after}")


def _lost(old: ProbeResult, new: ProbeResult | None) -> bool:
    return old.judged if new is None else new.falls_behind(old) or (old.status, new.status) == ("passed", "failed")


def _measured(
    before: Sequence[ProbeResult], after: dict[str, ProbeResult], criteria: CriteriaSet
) -> tuple[GuardDimension, ...]:
    older = {probe.probe: probe for probe in before}
    found = []
    for criterion in criteria.criteria:
        old, new = older.get(criterion.probe), after.get(criterion.probe)
        a, b = (score_of(one, CUTOFF) if one else None for one in (old, new))
        if old and new and a and b:
            stronger: Literal["A", "B", "equivalent"] = "equivalent" if a == b else ("B" if b > a else "A")
            found.append(
                GuardDimension(
                    criterion=criterion.id,
                    answer_a_score=a,
                    answer_b_score=b,
                    stronger=stronger,
                    difference="substantial" if abs(a - b) > 1 else "marginal",
                    evidence=f"{old.summary} -> {new.summary}",
                )
            )
    return tuple(found)


def _unblind(dimension: GuardDimension, candidate_is: Side) -> GuardDimension:
    if candidate_is == "B":
        return dimension
    swapped: dict[str, Literal["A", "B", "equivalent"]] = {"A": "B", "B": "A", "equivalent": "equivalent"}
    return dimension.model_copy(
        update={
            "answer_a_score": dimension.answer_b_score,
            "answer_b_score": dimension.answer_a_score,
            "stronger": swapped[dimension.stronger],
        }
    )


def _tendency(dimension: GuardDimension, criterion: Criterion) -> int:
    """-1 lost, 0 as before, 1 won."""
    gap = dimension.answer_b_score - dimension.answer_a_score
    if criterion.category != "must" and dimension.difference == "marginal" and abs(gap) <= 1:
        return 0
    if gap < 0 or dimension.stronger == "A":
        return -1
    return 1 if gap > 0 or dimension.stronger == "B" else 0


def _verdict(
    lost: Sequence[str], won: Sequence[str], dimensions: tuple[GuardDimension, ...], judge: str
) -> GuardVerdict:
    lost, won = tuple(dict.fromkeys(lost)), tuple(dict.fromkeys(won))
    verdict: Literal["pass", "fail", "mixed"] = ("mixed" if won else "fail") if lost else "pass"
    parts = [f"lost: {', '.join(lost)}" if lost else "nothing lost", f"won: {', '.join(won)}" if won else "nothing won"]
    return GuardVerdict(
        verdict=verdict, summary="; ".join(parts), dimensions=dimensions, lost=lost, won=won, judge=judge
    )
