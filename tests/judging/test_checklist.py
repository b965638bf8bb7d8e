"""The checklist gate against tables computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.actors.judging import (
    TOOL_NAMES,
    Ballot,
    ChecklistPolicy,
    ChecklistVerdict,
    Refused,
    check_approach,
    decide,
    massgen_knobs,
    read_ballot,
    stuck,
)
from bessemer.actors.judging.types import CriteriaSet, Criterion

REPORT = "The weakest part is the second section: " + "it repeats itself and proves nothing. " * 3
MASSGEN = ChecklistPolicy(rule="massgen")
OURS = ChecklistPolicy()


def criteria(*categories: str) -> CriteriaSet:
    items = tuple(
        Criterion(id=f"E{n}", text=f"text {n}", category=one)  # type: ignore[arg-type]
        for n, one in enumerate(categories, start=1)
    )
    return CriteriaSet(source="user", criteria=items)


FOUR = criteria("must", "must", "should", "could")

CUTOFFS = [10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5]
REQUIRED = {
    4: [4, 4, 4, 3, 3, 3, 3, 3, 2, 2, 2],
    5: [5, 5, 5, 4, 4, 4, 4, 4, 3, 3, 3],
    6: [6, 6, 5, 5, 5, 4, 4, 4, 4, 3, 3],
    7: [7, 7, 6, 6, 6, 5, 5, 5, 5, 4, 4],
}


@pytest.mark.parametrize("threshold", range(11))
@pytest.mark.parametrize("count", sorted(REQUIRED))
def test_cutoff_and_required_by_effective_threshold(threshold: int, count: int):
    # 10 of 19 left is between the bounds at which the threshold is adjusted.
    found = massgen_knobs(threshold, 10, 19, count)
    assert found == (threshold, CUTOFFS[threshold], REQUIRED[count][threshold])


@pytest.mark.parametrize(
    ("threshold", "remaining", "knobs"),
    [
        (5, 5, (4, 8, 3)),
        (5, 4, (4, 8, 3)),
        (5, 3, (5, 7, 3)),
        (5, 2, (7, 6, 3)),
        (5, 1, (7, 6, 3)),
        (5, 0, (7, 6, 3)),
        (2, 5, (1, 9, 4)),
        (2, 3, (2, 9, 4)),
        (2, 2, (4, 8, 3)),
        (0, 5, (0, 10, 4)),
        (10, 1, (10, 5, 2)),
    ],
)
def test_the_gate_relaxes_as_answers_run_out(threshold: int, remaining: int, knobs: tuple[int, int, int]):
    assert massgen_knobs(threshold, remaining, 5, 4) == knobs


def test_the_middle_band_relaxes_by_one():
    assert massgen_knobs(5, 4, 10, 4).effective_threshold == 6


def ballot(scores: Any, labels: list[str], policy: ChecklistPolicy = OURS, **more: Any) -> Ballot:
    found = read_ballot(scores, FOUR, labels, policy, report=REPORT, **more)
    assert isinstance(found, Ballot), found
    return found


def row(*scores: int) -> dict[str, int]:
    return {f"E{n}": score for n, score in enumerate(scores, start=1)}


@pytest.mark.parametrize(
    ("scores", "remaining", "verdict", "count", "required"),
    [
        (row(8, 8, 8, 1), 5, "converged", 3, 3),
        (row(8, 8, 7, 7), 5, "iterate", 2, 3),
        (row(7, 7, 7, 1), 3, "converged", 3, 3),
        (row(6, 6, 6, 0), 2, "converged", 3, 3),
        (row(6, 6, 5, 10), 1, "converged", 3, 3),
        (row(6, 5, 5, 10), 1, "iterate", 2, 3),
    ],
)
def test_massgen_counts_and_ignores_categories(
    scores: dict[str, int], remaining: int, verdict: str, count: int, required: int
):
    found = decide(FOUR, [ballot(scores, ["a"], MASSGEN)], MASSGEN, remaining=remaining)
    assert (found.verdict, found.true_count, found.required) == (verdict, count, required)
    assert found.action == ("vote" if verdict == "converged" else "new_answer")


def test_massgen_takes_the_highest_sum_and_then_the_first_label():
    scores = {"agent2.1": row(9, 1, 9, 1), "agent1.1": row(5, 5, 5, 5), "agent3.1": row(5, 5, 5, 4)}
    found = decide(FOUR, [ballot(scores, sorted(scores), MASSGEN)], MASSGEN)
    assert found.best_agent == "agent1.1"
    assert found.per_agent_scores["agent2.1"] == row(9, 1, 9, 1)


def test_without_an_answer_it_is_always_iterate():
    for policy in (OURS, MASSGEN):
        assert decide(FOUR, [], policy).verdict == "iterate"


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        (row(7, 7, 7, 7), "converged"),
        (row(10, 6, 10, 10), "iterate"),
        (row(7, 7, 6, 10), "converged"),
        (row(7, 7, 6, 7), "iterate"),
        (row(7, 7, 10, 1), "converged"),
    ],
)
def test_ours_makes_must_hard_and_weighs_the_rest(scores: dict[str, int], verdict: str):
    # should counts twice, could once: (2*6 + 10)/3 = 7.3 reaches 7, (2*6 + 7)/3 = 6.3 does not.
    assert decide(FOUR, [ballot(scores, ["a"])], OURS).verdict == verdict


def test_a_judges_own_answer_is_left_out():
    labels = ["a", "b"]
    authors = {"a": "ann", "b": "bob"}
    ann = ballot({"a": row(10, 10, 10, 10), "b": row(8, 8, 8, 8)}, labels, judge="ann", own="a")
    bob = ballot({"a": row(3, 3, 3, 3)}, labels, judge="bob", own="b")
    found = decide(FOUR, [ann, bob], OURS, authors=authors)
    assert found.per_agent_scores == {"a": row(3, 3, 3, 3), "b": row(8, 8, 8, 8)}
    assert (found.best_agent, found.verdict) == ("b", "converged")
    smuggled = Ballot(judge="ann", scores={"a": bob.scores["a"]})
    assert decide(FOUR, [smuggled], OURS, authors=authors).verdict == "not_judged"


def test_the_harshest_judge_counts_and_order_does_not():
    one = ballot({"a": row(9, 9, 9, 9)}, ["a"], judge="x")
    two = ballot({"a": row(9, 4, 9, 9)}, ["a"], judge="y")
    assert decide(FOUR, [one, two], OURS) == decide(FOUR, [two, one], OURS)
    assert decide(FOUR, [one, two], OURS).failed_criteria == ("E2",)


def test_ties_go_to_the_content_hash():
    scores = {"a": row(8, 8, 8, 8), "b": row(8, 8, 8, 8)}
    found = decide(FOUR, [ballot(scores, ["a", "b"])], OURS, hashes={"a": "f0", "b": "0f"})
    assert found.best_agent == "b"


@pytest.mark.parametrize(
    ("raw", "labels", "code"),
    [
        (None, ["a"], "scores_type_invalid"),
        ([], ["a"], "scores_type_invalid"),
        (row(11, 1, 1, 1), ["a"], "scores_out_of_range"),
        (row(-5, 1, 1, 1), ["a"], "scores_out_of_range"),
        (row(0, 1, 1, 1), ["a"], "scores_out_of_range"),
        ({**row(1, 1, 1), "E4": "8"}, ["a"], "scores_type_invalid"),
        ({**row(1, 1, 1), "E4": True}, ["a"], "scores_type_invalid"),
        ({**row(1, 1, 1), "E4": 7.5}, ["a"], "scores_type_invalid"),
        (row(1, 1, 1), ["a"], "missing_criteria_scores"),
        ({"a": row(1, 1, 1)}, ["a"], "incomplete_agent_criteria"),
        ({**row(1, 1, 1, 1), "E9": 1}, ["a"], "unknown_criteria"),
        (row(1, 1, 1, 1), ["a", "b"], "flat_scores_disallowed"),
        ({"a": row(1, 1, 1, 1)}, ["a", "b"], "missing_agent_scores"),
        ({"a": row(1, 1, 1, 1), "z": row(1, 1, 1, 1)}, ["a"], "unknown_agents"),
        ({"a": row(1, 1, 1, 1), "b": 3}, ["a", "b"], "scores_type_invalid"),
    ],
)
def test_unusable_scores_are_refused_with_their_code(raw: Any, labels: list[str], code: str):
    found = read_ballot(raw, FOUR, labels, OURS, report=REPORT)
    assert isinstance(found, Refused) and found.error_code == code, found


def test_labels_that_look_like_criteria_are_labels():
    found = read_ballot({"E9": row(7, 7, 7, 7)}, FOUR, ["E9"], OURS, report=REPORT)
    assert isinstance(found, Ballot) and list(found.scores) == ["E9"]
    odd = CriteriaSet(source="user", criteria=(Criterion(id="speed", text="fast"),))
    assert isinstance(read_ballot({"speed": {"score": 7, "reasoning": "r"}}, odd, ["a"], OURS, report=REPORT), Ballot)


def test_a_diagnosis_is_required():
    for report, policy in (("", OURS), ("short", OURS), (REPORT, ChecklistPolicy(media=True))):
        found = read_ballot(row(7, 7, 7, 7), FOUR, ["a"], policy, report=report)
        assert isinstance(found, Refused) and found.error_code == "diagnostic_report_invalid"
    assert isinstance(read_ballot(row(7, 7, 7, 7), FOUR, ["a"], ChecklistPolicy(require_report=False)), Ballot)


def test_plateau_looks_at_two_rounds():
    current = row(6, 6, 9, 3)
    history = [row(1, 1, 1, 1), row(6, 4, 8, 4), row(5, 6, 8, 3)]
    assert [one.id for one in stuck(FOUR, history, current)] == ["E1", "E3", "E4"]
    assert stuck(FOUR, history[:1], current) == ()
    found = decide(FOUR, [ballot(current, ["a"])], OURS, history=history)
    assert found.plateaued_criteria[0].score_history == (6, 5)


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=2) | st.none() | st.floats(), max_size=5))
def test_no_scores_break_the_reader(raw: dict[str, Any]):
    read_ballot(raw, FOUR, ["a"], OURS, report=REPORT)


def iterate() -> ChecklistVerdict:
    return decide(FOUR, [ballot(row(9, 3, 9, 4), ["a"])], OURS)


@pytest.mark.parametrize("tool", TOOL_NAMES)
def test_both_names_of_the_tool_are_accepted(tool: str):
    improvements = {"E2": [{"plan": "rebuild it", "impact": "structural"}], "E4": ["polish"]}
    found = check_approach(tool, improvements, iterate(), preserve={"E1": ["the tests"]}, vision="whole")
    assert (found.valid, found.improvements_count, found.non_incremental_count) == (True, 2, 1), found
    assert [task.type for task in found.task_plan] == ["vision", "improve", "improve", "verify_preserve"]


@pytest.mark.parametrize(
    ("improvements", "preserve", "said"),
    [
        ({"E2": [{"plan": "x", "impact": "structural"}]}, {"E1": ["t"]}, "without a plan: E4"),
        ({"E2": [{"plan": "x", "impact": "structural"}], "E4": []}, {"E1": ["t"]}, "without a plan: E4"),
        ({"E2": ["x"], "E4": ["y"]}, {"E1": ["t"]}, "every entry is incremental"),
        ({"E2": [{"plan": "x", "impact": "structural"}], "E4": ["y"]}, None, "preserve is empty"),
        ({"E2": [{"plan": "x", "impact": "structural"}], "E4": ["y"]}, {"E9": ["t"]}, "no criterion 'E9'"),
        ({"E7": ["y"]}, None, "no criterion 'E7'"),
        ({"E2": [{"plan": ""}]}, None, "improvements.E2.plan"),
        ([], None, "is not an object"),
    ],
)
def test_an_approach_that_does_not_do_says_why(improvements: Any, preserve: Any, said: str):
    found = check_approach("draft_approach", improvements, iterate(), preserve=preserve)
    assert not found.valid and said in found.message


def test_a_new_beginning_needs_nothing_preserved_and_a_converged_answer_no_approach():
    bold = {"plan": "x", "impact": "transformative", "sources": ["fresh"]}
    assert check_approach("draft_approach", {"E2": [bold], "E4": [bold]}, iterate()).valid
    assert not check_approach("draft_approach", {"E2": [bold]}, None).valid
    assert not check_approach("other", {}, iterate()).valid
