"""The regression guard: losses are never traded away unseen, whichever side the judge saw the candidate on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.actors.judging import (
    candidate_side,
    guard_from_blind,
    guard_from_probes,
    merge_guards,
    mixed_passes,
)
from bessemer.actors.judging.types import GuardDimension
from bessemer.actors.probes.base import ProbeResult

from .test_verdict import criteria, probe


def dimension(n: int, a: int, b: int, difference: str = "substantial", stronger: str = "") -> GuardDimension:
    better = stronger or ("equivalent" if a == b else ("A" if a > b else "B"))
    fields = {"criterion": f"E{n}", "answer_a_score": a, "answer_b_score": b, "stronger": better}
    return GuardDimension.model_validate({**fields, "difference": difference})


def swapped(one: GuardDimension) -> GuardDimension:
    other = {"A": "B", "B": "A", "equivalent": "equivalent"}[one.stronger]
    return dimension(int(one.criterion[1:]), one.answer_b_score, one.answer_a_score, one.difference, other)


def ten(passed: int, status: str = "failed", name: str = "pytest") -> ProbeResult:
    return probe(name, "passed" if passed == 10 and status == "failed" else status, passed, 10)


@pytest.mark.parametrize(
    ("before", "after", "verdict", "lost", "won"),
    [
        ([ten(5)], [ten(5)], "pass", (), ()),
        ([ten(5)], [ten(6)], "pass", (), ("pytest",)),
        ([ten(5)], [ten(4)], "fail", ("pytest",), ()),
        ([ten(5), ten(5, name="ruff")], [ten(6), ten(4, name="ruff")], "mixed", ("ruff",), ("pytest",)),
        ([ten(5)], [], "fail", ("pytest",), ()),
        ([ten(5)], [ten(5, "timeout")], "fail", ("pytest",), ()),
        ([ten(5, "timeout")], [ten(5)], "pass", (), ()),
        ([ten(5, "error")], [ten(5, "error")], "pass", (), ()),
        ([probe("make")], [probe("make", "failed")], "fail", ("make",), ()),
        ([], [ten(5)], "pass", (), ()),
    ],
)
def test_by_probes(before, after, verdict, lost, won):
    found = guard_from_probes(before, after)
    assert (found.verdict, found.lost, found.won) == (verdict, lost, won)


@pytest.mark.parametrize(
    ("dimensions", "verdict"),
    [
        ([dimension(1, 7, 7), dimension(2, 7, 7)], "pass"),
        ([dimension(1, 7, 8), dimension(2, 7, 7)], "pass"),
        ([dimension(1, 7, 6), dimension(2, 7, 7)], "fail"),
        ([dimension(1, 7, 6, "marginal"), dimension(2, 7, 7)], "fail"),
        ([dimension(1, 7, 7), dimension(2, 7, 6, "marginal")], "pass"),
        ([dimension(1, 7, 7), dimension(2, 7, 5, "marginal")], "fail"),
        ([dimension(1, 7, 9), dimension(2, 7, 5)], "mixed"),
        ([dimension(1, 7, 7, "substantial", "A"), dimension(2, 7, 7)], "fail"),
        ([dimension(1, 6, 7, "substantial", "A"), dimension(2, 7, 7)], "fail"),
        ([dimension(9, 9, 1)], "pass"),
    ],
)
def test_blind_is_mapped_the_same_from_both_sides(dimensions, verdict):
    asked = criteria("must", "should")
    as_b = guard_from_blind(dimensions, "B", asked)
    as_a = guard_from_blind([swapped(one) for one in dimensions], "A", asked)
    assert as_b == as_a
    assert as_b.verdict == verdict


@pytest.mark.parametrize(
    ("dimensions", "lost", "passes"),
    [
        ([dimension(1, 7, 9), dimension(2, 7, 6)], ("E2",), True),
        ([dimension(1, 7, 7), dimension(2, 7, 5)], ("E2",), False),
        ([dimension(1, 7, 6), dimension(2, 7, 10)], ("E1",), False),
        ([dimension(1, 7, 6, "marginal"), dimension(2, 5, 10)], ("E2",), False),
        ([dimension(1, 7, 9), dimension(2, 7, 6)], ("ruff",), False),
        ([], ("E2",), False),
    ],
)
def test_mixed_passes_only_by_the_rule(dimensions, lost, passes):
    verdict = guard_from_blind(dimensions, "B", criteria("must", "should")).model_copy(
        update={"verdict": "mixed", "lost": lost}
    )
    rule = mixed_passes(verdict, criteria("must", "should"))
    assert rule.passes is passes and rule.because


def test_probes_give_dimensions_to_weigh():
    asked = criteria("should", "must", probes=("ruff", "pytest"))
    before = [probe("ruff", "passed", 10, 10), ten(2)]
    after = [probe("ruff", "failed", 9, 10), ten(9)]
    found = guard_from_probes(before, after, asked)
    assert found.verdict == "mixed"
    assert [(one.answer_a_score, one.answer_b_score) for one in found.dimensions] == [(10, 5), (2, 5)]
    assert not mixed_passes(found, asked).passes


def test_what_a_probe_saw_lost_stays_lost():
    asked = criteria("must", "should")
    blind = guard_from_blind([dimension(1, 5, 9), dimension(2, 7, 7)], "B", asked, judge="m")
    merged = merge_guards(blind, guard_from_probes([ten(5)], [ten(4)]))
    assert merged.verdict == "mixed" and merged.lost == ("pytest",) and merged.won == ("E1",) and merged.judge == "m"
    assert not mixed_passes(merged, asked).passes


@given(st.text())
def test_the_side_is_drawn_from_the_seed_alone(seed: str):
    assert candidate_side(seed) == candidate_side(seed)


def test_both_sides_occur():
    sides = [candidate_side(f"run-{n}") for n in range(200)]
    assert 60 < sides.count("A") < 140
