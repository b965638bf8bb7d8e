"""Several judges: nothing is averaged away, nobody's silence counts, and agreement is a number with an interval."""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.judging import alpha_with_interval, krippendorff_alpha
from bessemer.actors.judging.types import CriteriaSet, Criterion, CriterionScore, Finding, NotScored, Verdict
from bessemer.actors.reviewers import Dispatch, Evaluation, Subject, merge, order_swapped

IDS = ("E1", "E2", "E3", "E4")
CRITERIA = CriteriaSet(source="user", criteria=tuple(Criterion(id=one, text=one, category="must") for one in IDS))


def subject(tmp_path: Path) -> Subject:
    return Subject(goal="g", tree=str(tmp_path), criteria=CRITERIA, token="t")


def judged(judge: str, scores: dict[str, int], findings: tuple[Finding, ...] = ()) -> Evaluation:
    found = tuple(CriterionScore(criterion=key, score=score) for key, score in scores.items())
    silent = tuple(NotScored(criterion=one, why="failed", message="timeout") for one in IDS if one not in scores)
    passing = len(scores) == 4 and min(scores.values()) >= 7
    verdict: Any = "converged" if passing else "iterate" if scores else "not_judged"
    dispatch = Dispatch(persona="p", persona_content_hash="h", stage="evaluation", status="ok", backend=judge)
    return Evaluation(
        verdict=Verdict(verdict=verdict, judge=judge, scores=found, not_scored=silent, explanation=""),
        critique_md=f"by {judge}\n",
        findings=findings,
        dispatch=dispatch,
    )


def finding(name: str, evidence: str = "") -> Finding:
    return Finding(finding_id=f"re-{name}", title=name, file="a.py", line=3, evidence=evidence)


# Values by hand: Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section on interval data: the
# reliability data of four observers and twelve units, of which alpha is 0.849.
PUBLISHED = (
    "1 1 . 1", "2 2 3 2", "3 3 3 3", "3 3 3 3", "2 2 2 2", "1 2 3 4",
    "4 4 4 4", "1 1 2 1", "2 2 2 2", ". 5 5 5", ". . 1 1", ". . 3 .",
)  # fmt: skip


def test_alpha_is_the_published_one() -> None:
    units = [[float(one) for one in row.split() if one != "."] for row in PUBLISHED]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=0.0005)
    found = alpha_with_interval(units)
    assert found == alpha_with_interval(units)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.849 <= found.high


def test_alpha_at_its_edges() -> None:
    assert krippendorff_alpha([[5, 5], [5, 5]]) == 1.0
    assert krippendorff_alpha([[5], [7]]) is None
    assert alpha_with_interval([]).value is None
    generator = random.Random(1)
    chance = [[generator.randint(1, 10), generator.randint(1, 10)] for _ in range(4000)]
    assert krippendorff_alpha(chance) == pytest.approx(0, abs=0.06)


def test_the_harshest_score_of_each_criterion_stands_whatever_the_order_of_judges(tmp_path: Path) -> None:
    judges = {
        "x/a": judged("x/a", {"E1": 9, "E2": 8, "E3": 9, "E4": 9}),
        "x/b": judged("x/b", {"E1": 7, "E2": 9, "E3": 4, "E4": 9}),
        "x/c": judged("x/c", {}),
    }
    for order in permutations(judges):
        merged = merge(subject(tmp_path), [judges[one] for one in order], order, builder="")
        scores = {one.criterion: one.score for one in merged.evaluation.verdict.scores}
        assert scores == {"E1": 7, "E2": 8, "E3": 4, "E4": 9}
        assert merged.evaluation.verdict.verdict == "iterate"
        assert merged.panel.silent == ("x/c",)
        assert {one.criterion: one.spread for one in merged.panel.spreads} == {"E1": 2, "E2": 1, "E3": 5, "E4": 0}
        assert merged.panel.verdicts == {"x/a": "converged", "x/b": "iterate", "x/c": "not_judged"}


def test_judges_that_all_fail_judge_nothing(tmp_path: Path) -> None:
    merged = merge(subject(tmp_path), [judged("x/a", {}), judged("x/b", {})], ("x/a", "x/b"), builder="")
    assert merged.evaluation.verdict.verdict == "not_judged"
    assert merged.panel.alpha is None


def test_every_finding_is_kept_once(tmp_path: Path) -> None:
    both, mine, quoted = finding("both"), finding("mine"), finding("x", "return a")
    first = judged("x/a", dict.fromkeys(IDS, 3), (both, quoted))
    second = judged("x/b", dict.fromkeys(IDS, 4), (both, mine, finding("y", "return  a")))
    merged = merge(subject(tmp_path), [first, second], ("x/a", "x/b"), builder="")
    assert [one.title for one in merged.evaluation.findings] == ["both", "x", "mine"]


def test_a_judge_of_its_own_work_is_named_with_its_difference(tmp_path: Path) -> None:
    own, other = judged("x/a", dict.fromkeys(IDS, 9)), judged("x/b", dict.fromkeys(IDS, 6))
    merged = merge(subject(tmp_path), [own, other], ("x/a", "x/b"), builder="x/a")
    assert [(one.judge, one.difference) for one in merged.panel.self_preference] == [("x/a", 3.0)]
    assert merge(subject(tmp_path), [own, other], ("x/a", "x/b"), builder="x/z").panel.self_preference == ()


def test_position_is_measured_by_swapping_the_order(tmp_path: Path) -> None:
    asked = subject(tmp_path)
    assert [one.id for one in order_swapped(asked, 0).criteria.criteria] == list(IDS)
    assert [one.id for one in order_swapped(asked, 1).criteria.criteria] == list(reversed(IDS))
    # Both judges give 2 points more to what they meet first; the second is harsher by 1 throughout.
    straight = judged("x/a", {"E1": 9, "E2": 9, "E3": 7, "E4": 7})
    turned = judged("x/b", {"E1": 6, "E2": 6, "E3": 8, "E4": 8})
    assert merge(asked, [straight, turned], ("x/a", "x/b"), builder="").panel.position_effect == 2.0
    fair = judged("x/b", {"E1": 8, "E2": 8, "E3": 6, "E4": 6})
    assert merge(asked, [straight, fair], ("x/a", "x/b"), builder="").panel.position_effect == 0.0
