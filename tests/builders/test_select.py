"""Keep if better, and nothing else."""

from __future__ import annotations

import pytest

from bessemer.actors.builders import best, settles
from bessemer.actors.builders.base import BuildResult
from bessemer.actors.probes.base import ProbeFinding, ProbeResult


def counted(passed, status="failed", **more):
    return ProbeResult(probe="pytest", status=status, summary="", measure=float(passed), **more)


def lint(findings, status="failed"):
    return ProbeResult(probe="ruff", status=status, summary="", measure=float(findings), better="lower")


def candidate(*probes, name="c", status="changed", lines=1):
    return BuildResult(status=status, commit=name, probes=probes, changed_lines=lines)


BASE = (counted(2), lint(3))


@pytest.mark.parametrize(
    "worse",
    [
        candidate(counted(2), lint(3)),
        candidate(counted(3), lint(4)),
        candidate(counted(1), lint(0)),
        candidate(ProbeResult(probe="pytest", status="timeout", summary=""), lint(0)),
        candidate(ProbeResult(probe="pytest", status="error", summary=""), lint(3)),
        candidate(lint(0)),
        candidate(),
        candidate(counted(6), lint(0), status="failed"),
    ],
)
def test_what_is_not_better_is_not_kept(worse):
    assert best([worse], BASE) is None


def test_most_improved_then_smallest_then_first():
    small = candidate(counted(3), lint(3), name="small", lines=2)
    large = candidate(counted(3), lint(3), name="large", lines=9)
    most = candidate(counted(3), lint(2), name="most", lines=30)
    assert best([large, small, most], BASE) is most
    assert best([large, small], BASE) is small
    assert best([small, small.model_copy(update={"commit": "later"})], BASE) is small


def test_without_a_judging_probe_the_first_change_stands():
    nothing = ProbeResult(probe="pytest", status="not_applicable", summary="")
    first, second = candidate(nothing, name="1"), candidate(nothing, name="2")
    assert best([candidate(status="unchanged"), first, second], [nothing]) is first
    assert best([first], []) is first


def test_a_probe_that_begins_to_judge_is_no_improvement():
    baseline = [ProbeResult(probe="pytest", status="error", summary=""), lint(3)]
    assert best([candidate(counted(9), lint(3))], baseline) is None


def test_settled_means_all_of_the_tasks_findings_are_gone():
    def found(*codes):
        return tuple(ProbeFinding(code=code, message="m") for code in codes)

    baseline = (counted(1, findings=found("a", "b")),)
    half = candidate(counted(2, findings=found("b")))
    whole = candidate(counted(3, findings=()))
    assert not settles(half, ("a", "b"), "pytest", baseline)
    assert settles(half, ("a",), "pytest", baseline)
    assert settles(whole, ("a", "b"), "pytest", baseline)
