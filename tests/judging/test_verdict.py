"""Verdicts: what must hold for every combination of scores, failures and measurements."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.actors.judging import (
    CUTOFF,
    plateau,
    score_of,
    summary_lines,
    verdict_from_probes,
    verdict_from_scores,
)
from bessemer.actors.judging.types import CriteriaSet, Criterion, CriterionScore, NotScored
from bessemer.actors.probes.base import ProbeFinding, ProbeResult

SILENT = ("error", "timeout", "unavailable", "not_applicable")
WHYS = ("no_probe", "probe_error", "abstained", "failed", "malformed")


def probe(name: str = "pytest", status: str = "passed", passed: int = 0, total: int = 0, **more: object) -> ProbeResult:
    measure = float(passed) if total else None
    fields = {"summary": f"{passed} of {total}", "measure": measure, **more}
    return ProbeResult.model_validate({"probe": name, "status": status, "passed": passed, "total": total, **fields})


def criteria(*categories: str, probes: tuple[str, ...] = ()) -> CriteriaSet:
    bound = [*probes, *[""] * len(categories)]
    return CriteriaSet(
        source="user",
        criteria=tuple(
            Criterion.model_validate({"id": f"E{n + 1}", "text": f"text {n}", "category": c, "probe": bound[n]})
            for n, c in enumerate(categories)
        ),
    )


def score(n: int, value: int, reason: str = "", **more: object) -> CriterionScore:
    return CriterionScore.model_validate({"criterion": f"E{n}", "score": value, "reason": reason, **more})


class Case(NamedTuple):
    criteria: CriteriaSet
    scores: list[CriterionScore | NotScored]
    probes: list[ProbeResult]

    def verdict(self):
        return verdict_from_scores(self.criteria, self.scores, self.probes, judge="test/model")


NAMES = ("pytest", "ruff", "bandit")


@st.composite
def results(draw: st.DrawFn) -> list[ProbeResult]:
    found = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        status = draw(st.sampled_from(("passed", "failed", *SILENT)))
        total = draw(st.integers(0, 20))
        passed = total if status == "passed" else draw(st.integers(0, total))
        found.append(probe(name, status, passed, total))
    return found


@st.composite
def cases(draw: st.DrawFn) -> Case:
    categories = draw(st.lists(st.sampled_from(("must", "should", "could")), min_size=1, max_size=6))
    bound = tuple(draw(st.sampled_from(("", *NAMES))) for _ in categories)
    scores: list[CriterionScore | NotScored] = []
    for n in range(1, len(categories) + 1):
        kind = draw(st.sampled_from(("score", "score", "score", "silent", "absent")))
        if kind == "score":
            found = draw(st.sampled_from((None, True, False)))
            scores.append(score(n, draw(st.integers(1, 10)), evidence_found=found))
        elif kind == "silent":
            scores.append(NotScored(criterion=f"E{n}", why=draw(st.sampled_from(WHYS))))
    return Case(criteria(*categories, probes=bound), scores, draw(results()))


@given(cases())
def test_a_must_below_the_cutoff_never_converges(case: Case):
    verdict = case.verdict()
    musts = {one.id for one in case.criteria.criteria if one.category == "must"}
    if verdict.verdict == "converged":
        assert musts <= {one.criterion for one in verdict.scores if one.score >= CUTOFF}
        assert not any(one.status == "failed" for one in case.probes)


@given(cases(), st.randoms(use_true_random=False))
def test_order_of_scores_and_probes_does_not_matter(case: Case, random):
    scores, probes = list(case.scores), list(case.probes)
    random.shuffle(scores)
    random.shuffle(probes)
    assert Case(case.criteria, scores, probes).verdict() == case.verdict()


@given(cases(), st.data())
def test_losing_a_score_to_a_failure_is_never_a_no_nor_a_yes(case: Case, data: st.DataObject):
    before = case.verdict().verdict
    scored = [n for n, one in enumerate(case.scores) if isinstance(one, CriterionScore)]
    if not scored:
        return
    n = data.draw(st.sampled_from(scored))
    lost = case.scores[n].criterion
    category = case.criteria.by_id()[lost].category
    why = data.draw(st.sampled_from(("probe_error", "abstained", "failed", "malformed")))
    scores = [*case.scores[:n], NotScored(criterion=lost, why=why), *case.scores[n + 1 :]]
    after = Case(case.criteria, scores, case.probes).verdict()
    assert lost not in {one.criterion for one in after.scores}
    assert lost not in after.failed_criteria
    if category != "could":
        # What was known to be fine cannot become a no, and what was a no cannot become fine.
        assert (before, after.verdict) not in {("converged", "iterate"), ("iterate", "converged")}
    rest = {one.criterion: one.score for one in case.verdict().scores if one.criterion != lost}
    assert rest == {one.criterion: one.score for one in after.scores}


@given(cases(), st.sampled_from(NAMES), st.integers(0, 9))
def test_a_failed_probe_never_helps(case: Case, name: str, passed: int):
    others = [one for one in case.probes if one.probe != name]
    without = Case(case.criteria, case.scores, others).verdict()
    failed = Case(case.criteria, case.scores, [*others, probe(name, "failed", passed, 10)]).verdict()
    assert failed.verdict != "converged"
    assert {s.criterion: s.score for s in failed.scores}.keys() == {s.criterion for s in without.scores}
    for one in failed.scores:
        assert one.score <= next(s.score for s in without.scores if s.criterion == one.criterion)


@given(cases(), st.sampled_from(NAMES), st.sampled_from(SILENT))
def test_a_probe_that_judged_nothing_changes_no_model_verdict(case: Case, name: str, status: str):
    others = [one for one in case.probes if one.probe != name]
    without = Case(case.criteria, case.scores, others).verdict()
    assert Case(case.criteria, case.scores, [*others, probe(name, status)]).verdict() == without


@given(cases())
def test_nothing_scored_is_not_judged(case: Case):
    verdict = case.verdict()
    assert (not verdict.scores) <= (verdict.verdict == "not_judged")
    ids = [one.id for one in case.criteria.criteria]
    both = [one.criterion for one in (*verdict.scores, *verdict.not_scored)]
    assert sorted(both) == sorted(ids)
    assert "\n" not in verdict.explanation
    assert len(summary_lines(verdict, case.criteria)) == 1 + len(ids)


@given(results())
def test_probe_scores_reach_the_cutoff_only_when_clean(found: list[ProbeResult]):
    for one in found:
        value = score_of(one)
        assert (value is None) == (one.status in SILENT)
        if value is not None:
            assert 1 <= value <= 10 and (value >= CUTOFF) == (one.status == "passed")


@given(st.integers(1, 200), st.data())
def test_more_passing_checks_never_score_less(total: int, data: st.DataObject):
    fewer = data.draw(st.integers(0, total - 1))
    more = data.draw(st.integers(fewer, total - 1))
    scores = [score_of(probe("pytest", "failed", k, total)) for k in (fewer, more)]
    assert scores[0] <= scores[1] < CUTOFF  # type: ignore[operator]


def test_more_findings_never_score_more():
    findings = [ProbeFinding(code="F401", message="unused", severity="minor")] * 40
    scores = [score_of(probe("ruff", "failed", findings=tuple(findings[:n]))) for n in range(1, 41)]
    assert scores == sorted(scores, reverse=True) and scores[0] == 5 and scores[-1] == 1  # type: ignore[type-var]


def test_all_probes_clean_converges():
    found = verdict_from_probes(
        criteria("must", "must", probes=("pytest", "ruff")), [probe("ruff"), probe("pytest", "passed", 12, 12)]
    )
    assert found.verdict == "converged" and found.judge == "probes"
    assert [one.score for one in found.scores] == [10, 10]


@pytest.mark.parametrize("status", SILENT)
def test_a_silent_must_is_not_judged(status: str):
    asked = criteria("must", "must", probes=("pytest", "ruff"))
    found = verdict_from_probes(asked, [probe("pytest", status), probe("ruff")])
    assert found.verdict == "not_judged" and found.not_scored[0].criterion == "E1"
    failed = verdict_from_probes(asked, [probe("pytest", status), probe("ruff", "failed")])
    assert failed.verdict == "iterate" and failed.failed_criteria == ("E2",)


def test_unverified_work_never_passes_by_probes():
    found = verdict_from_probes(criteria("must", probes=("html",)), [probe("html")], ["interactive"])
    assert found.verdict == "not_judged" and "interactive" in found.explanation
    assert found.not_verified == ("interactive",)


def test_a_criterion_without_a_probe_is_left_open():
    found = verdict_from_probes(criteria("must", "should", probes=("pytest",)), [probe()])
    assert found.verdict == "converged" and found.not_scored[0].why == "no_probe"
    assert verdict_from_probes(criteria("must", "must", probes=("pytest",)), [probe()]).verdict == "not_judged"
    assert verdict_from_probes(criteria("must"), []).verdict == "not_judged"


def test_a_score_against_its_failed_probe_is_marked_and_capped():
    found = verdict_from_scores(
        criteria("must", probes=("pytest",)), [score(1, 9)], [probe("pytest", "failed", 10, 12)], judge="m"
    )
    assert found.verdict == "iterate"
    assert (found.scores[0].score, found.scores[0].contradicts) == (CUTOFF - 1, "pytest")


@pytest.mark.parametrize(
    "reason",
    [
        "All tests pass, and the code is tidy.",
        "It is good: all of the unit tests are green.",
        "a\u200bll te\u00adsts pass",
        "ALL\u00a0TESTS PASS",
        "\uff21\uff4c\uff4c tests pass",
        "The full test suite passes now",
        "no failing tests",
        "`pytest` passes",
    ],
)
def test_a_claim_that_tests_pass_is_held_against_them(reason: str):
    found = verdict_from_scores(criteria("should"), [score(1, 8, reason)], [probe("pytest", "failed", 1, 2)], judge="m")
    assert found.scores[0].contradicts == "pytest" and found.scores[0].score == CUTOFF - 1


@pytest.mark.parametrize(
    "reason",
    ["Not all tests pass.", "All tests pass except two.", "Once all tests pass it is fine", "The tests are readable."],
)
def test_an_honest_reason_is_left_alone(reason: str):
    found = verdict_from_scores(criteria("should"), [score(1, 8, reason)], [probe("pytest", "failed", 1, 2)], judge="m")
    assert found.scores[0].contradicts == "" and found.scores[0].score == 8


def test_a_claim_that_holds_is_no_contradiction():
    found = verdict_from_scores(criteria("must"), [score(1, 8, "all tests pass")], [probe()], judge="m")
    assert found.scores[0].contradicts == "" and found.verdict == "converged"


def test_a_false_quotation_proves_nothing():
    found = verdict_from_scores(criteria("must"), [score(1, 9, evidence_found=False)], [], judge="m")
    assert found.verdict == "not_judged" and found.scores[0].score == 9


def test_scored_twice_is_malformed_and_unknown_ids_are_ignored():
    found = verdict_from_scores(criteria("must"), [score(1, 9), score(1, 2), score(7, 10)], [], judge="m")
    assert found.verdict == "not_judged" and found.not_scored[0].why == "malformed"


def test_out_of_range_scores_are_no_scores():
    forged = CriterionScore.model_construct(criterion="E1", score=100, reason="", contradicts="", evidence_found=None)
    found = verdict_from_scores(criteria("must"), [forged], [], judge="m")
    assert found.not_scored[0].why == "malformed" and found.verdict == "not_judged"


def test_should_counts_twice_could():
    asked = criteria("must", "should", "could")
    good = verdict_from_scores(asked, [score(1, 9), score(2, 8), score(3, 5)], [], judge="m")
    poor = verdict_from_scores(asked, [score(1, 9), score(2, 6), score(3, 8)], [], judge="m")
    assert (good.verdict, poor.verdict) == ("converged", "iterate")


class Round(NamedTuple):
    scores: dict[str, int]
    probes: tuple[ProbeResult, ...] = ()


def passing(passed: int) -> tuple[ProbeResult, ...]:
    return (probe("pytest", "failed", passed, 12),)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], False),
        ([Round({"E1": 5})], False),
        ([Round({"E1": 5}), Round({"E1": 5})], False),
        ([Round({"E1": 5}), Round({"E1": 5}), Round({"E1": 6})], True),
        ([Round({"E1": 5}), Round({"E1": 7}), Round({"E1": 7})], False),
        ([Round({"E1": 5}), Round({"E1": 5}), Round({"E1": 7})], False),
        ([Round({"E1": 1}), Round({"E1": 9}), Round({"E1": 9}), Round({"E1": 9})], True),
        ([Round({"E1": 5}, passing(3)), Round({"E1": 5}, passing(3)), Round({"E1": 5}, passing(3))], True),
        ([Round({"E1": 5}, passing(3)), Round({"E1": 5}, passing(4)), Round({"E1": 5}, passing(4))], False),
        ([Round({"E1": 5}, passing(3)), Round({"E1": 5}, passing(3)), Round({"E1": 5}, passing(4))], False),
        ([Round({"E1": 9}, passing(9)), Round({"E1": 5}, passing(4)), Round({"E1": 4}, passing(3))], True),
        ([Round({"E1": 5}), Round({}), Round({"E1": 5})], False),
        ([Round({}), Round({}), Round({})], False),
        ([Round({}, passing(3)), Round({}, passing(3)), Round({}, passing(3))], True),
    ],
)
def test_plateau(history: list[Round], expected: bool):
    assert plateau(history) is expected
