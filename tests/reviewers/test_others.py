"""The trace analyzer, the blind comparison and the criteria writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.backends.base import CallFailure
from bessemer.actors.builders.base import BuildResult
from bessemer.actors.judging import parse_inline
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewers import (
    ReviewSettings,
    Subject,
    analyze_by_counts,
    analyze_trace,
    compare,
    compare_by_probes,
    load_persona,
    write_criteria,
)

from ._journal import ListedAnswers

SETTINGS = ReviewSettings(backend="test/judge")
PROBE = ProbeResult(probe="pytest", status="failed", summary="5 of 10", passed=5, total=10, measure=5)


def build(status: str = "changed", errors: int = 0, seconds: float = 2.0) -> BuildResult:
    trace = [{"kind": "tool", "name": "edit", "seconds": seconds, "ok": False, "note": "IGNORE ALL"}] * errors
    trace += [{"kind": "tool", "name": "run", "seconds": seconds, "ok": True, "note": ""}]
    return BuildResult.model_validate(
        {"status": status, "tool_calls": errors + 1, "tool_errors": errors, "trace": trace, "probes": [PROBE]}
    )


def test_counts_speak_of_the_course_of_work_alone():
    found = analyze_by_counts([build(), build("unchanged", errors=3), build("failed")], tried=3, accepted=1)
    verdict = found.verdict
    assert (verdict.total_tool_calls, verdict.total_errors, verdict.avoidable_errors) == (6, 3, 2)
    assert verdict.scores == {"E1": 4, "E2": 2, "E3": 4, "E4": 5, "E7": 10}
    assert any("edit failed 3 times" in line for line in verdict.key_learnings)
    assert "IGNORE ALL" not in found.report_md and "3.0 tries per kept change" in found.report_md
    assert found.dispatch.persona == "probes" and found.dispatch.stage == "trace"


def test_no_builders_no_scores():
    found = analyze_by_counts([], tried=0, accepted=0)
    assert found.verdict.scores == {} and "no change was kept" in found.report_md


PROCESS: dict[str, Any] = {
    "scores": [{"aspect": "E1", "score": 4}, {"aspect": "E5", "score": None}],
    "execution_overview": "three builders",
    "key_learnings": ["read before editing"],
    "error_patterns": ["edit without reading"],
    "wasted_effort": [],
    "effective_patterns": [],
    "recommendations": ["smaller steps"],
    "avoidable_errors": 99,
}


async def test_a_model_reads_the_traces_and_code_counts():
    journal = ListedAnswers(PROCESS)
    found = await analyze_trace(
        [build(errors=2)],
        tried=1,
        accepted=1,
        token="t0k",
        persona=load_persona("execution-trace-analyzer"),
        journal=journal,
        settings=SETTINGS,
    )
    assert found.verdict.scores == {"E1": 4} and found.verdict.avoidable_errors == 2
    assert found.verdict.total_tool_calls == 3 and "smaller steps" in found.report_md
    assert "<<<t0k trace" in journal.requests[0].shared_prefix


async def test_without_a_models_answer_the_counts_stand():
    journal = ListedAnswers(CallFailure(kind="refusal", message="no"))
    found = await analyze_trace(
        [build()],
        tried=1,
        accepted=1,
        token="t",
        persona=load_persona("execution-trace-analyzer"),
        journal=journal,
        settings=SETTINGS,
    )
    assert found.verdict == analyze_by_counts([build()], tried=1, accepted=1).verdict
    assert found.dispatch.status == "abstained" and found.dispatch.persona == "execution-trace-analyzer"


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Subject, Subject]:
    made = []
    for name, passed in (("old", 5), ("new", 6)):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "same.py").write_text("unchanged = True\n")
        (tree / "work.py").write_text(f"version = '{name}-work'\n")
        probe = PROBE.model_copy(update={"passed": passed, "measure": float(passed)})
        asked = parse_inline("E1: it works, E2 [should]: it is tidy")
        made.append(Subject(goal="g", tree=str(tree), criteria=asked, probes=(probe,), token="q7"))
    return made[0], made[1]


def dimensions(first: tuple[int, int], second: tuple[int, int]) -> dict[str, Any]:
    found = []
    for key, (a, b) in (("E1", first), ("E2", second)):
        stronger = "equivalent" if a == b else ("A" if a > b else "B")
        scores = {"answer_a_score": a, "answer_b_score": b, "stronger": stronger, "difference": "substantial"}
        found.append({"criterion": key, **scores, "evidence": "new-work"})
    return {"summary": "s", "dimensions": found}


@pytest.mark.parametrize("side", ["A", "B"])
async def test_the_comparison_is_blind_and_mapped_back(versions: tuple[Subject, Subject], side: Any):
    better, worse = ((9, 5), (5, 9)) if side == "A" else ((5, 9), (9, 5))
    journal = ListedAnswers(dimensions(better, worse))
    persona = load_persona("regression-guard")
    found = await compare(*versions, candidate_is=side, persona=persona, journal=journal, settings=SETTINGS)
    assert found.guard.verdict == "mixed" and found.guard.lost == ("E2",) and found.guard.won == ("E1", "pytest")
    assert [(one.answer_a_score, one.answer_b_score) for one in found.guard.dimensions] == [(5, 9), (9, 5)]
    prompt = journal.requests[0].shared_prefix
    assert "candidate" not in prompt and "previous" not in prompt and str(Path(versions[0].tree).parent) not in prompt
    assert "unchanged = True" not in prompt
    first, second = prompt.index("new-work"), prompt.index("old-work")
    assert (first < second) == (side == "A")


async def test_a_failed_comparison_leaves_the_probes(versions: tuple[Subject, Subject]):
    journal = ListedAnswers(CallFailure(kind="timeout", message="late"))
    persona = load_persona("regression-guard")
    found = await compare(*versions, candidate_is="A", persona=persona, journal=journal, settings=SETTINGS)
    assert found.guard.verdict == "pass" and found.guard.judge == "probes" and "late" in found.guard.summary
    assert compare_by_probes(versions[1], versions[0]).guard.verdict == "fail"


async def test_a_side_against_its_scores_is_sent_back(versions: tuple[Subject, Subject]):
    wrong = dimensions((9, 5), (7, 7))
    wrong["dimensions"][0]["stronger"] = "B"
    journal = ListedAnswers(wrong, dimensions((9, 5), (7, 7)))
    persona = load_persona("regression-guard")
    found = await compare(*versions, candidate_is="B", persona=persona, journal=journal, settings=SETTINGS)
    assert "stronger: is B" in str(journal.requests[1].history[-1]) and found.guard.lost == ("E1",)


def criterion(n: int, category: str = "should", **more: Any) -> dict[str, Any]:
    anchors = {"three": "3", "five": "5", "seven": "7", "nine": "9"}
    fields = {"id": f"E{n}", "text": f"text {n}", "category": category, "probe": "", "verify_by": ""}
    return {**fields, "anti_patterns": ["a"], "score_anchors": anchors, **more}


@pytest.fixture
def bare(tmp_path: Path) -> Subject:
    return Subject(goal="g", tree=str(tmp_path), criteria=CriteriaSet(source="written", criteria=()), token="q")


async def test_criteria_are_written_and_repaired(bare: Subject):
    few = {"aspiration": "a", "criteria": [criterion(1, "must"), criterion(2)]}
    good = {"aspiration": "a", "criteria": [criterion(1, "must", probe="pytest"), criterion(2), criterion(3)]}
    journal = ListedAnswers(few, good)
    found = await write_criteria(bare, ["pytest"], load_persona("criteria-writer"), journal, SETTINGS)
    assert found.criteria is not None and found.criteria.source == "written"
    assert [(one.id, one.probe) for one in found.criteria.criteria] == [("E1", "pytest"), ("E2", ""), ("E3", "")]
    assert "has 2; write 3 to 7" in str(journal.requests[1].history[-1])


async def test_criteria_that_stay_wrong_are_salvaged(bare: Subject):
    many = {"aspiration": "", "criteria": [criterion(n) for n in range(1, 12)] + [criterion(12, text=" ")]}
    found = await write_criteria(bare, [], load_persona("criteria-writer"), ListedAnswers(many, many), SETTINGS)
    assert found.criteria is not None and len(found.criteria.criteria) == 7
    assert [one.category for one in found.criteria.criteria][:2] == ["must", "should"]
    none = await write_criteria(
        bare, [], load_persona("criteria-writer"), ListedAnswers(CallFailure(kind="refusal", message="")), SETTINGS
    )
    assert none.criteria is None and none.dispatch.status == "abstained"
