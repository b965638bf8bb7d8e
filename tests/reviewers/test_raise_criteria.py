"""The criteria raiser: what a model may propose, what code refuses, and that nothing is raised by halves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.backends.base import CallFailure
from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.actors.reviewers import ReviewSettings, Subject, load_persona, raise_criteria
from tests.reviewers._journal import ListedAnswers

CRITERIA = CriteriaSet(
    source="user",
    criteria=tuple(
        Criterion(
            id=f"E{n}", text=f"asks {n}", category="must" if n == 1 else "should", probe="pytest" if n == 1 else ""
        )
        for n in range(1, 4)
    ),
)
ANCHORS = {"three": "hardly", "five": "somewhat", "seven": "well", "nine": "fully"}


def change(kind: str = "elevate", criterion: str = "E1", **more: Any) -> dict[str, Any]:
    given = {
        "type": kind,
        "criterion": criterion,
        "why": "it told nothing apart",
        "text": "asks for more",
        "category": "could",
        "verify_by": "run it",
        "anti_patterns": ["only the words", "only one case"],
        "score_anchors": ANCHORS,
    }
    return {**given, **more}


def proposal(*changes: dict[str, Any], because: str = "") -> dict[str, Any]:
    return {"changes": list(changes), "unchanged_because": because}


async def raised(root: Path, *answers: Any) -> Any:
    (root / "work.md").write_text("the work\n")
    subject = Subject(goal="Write it.", tree=str(root), criteria=CRITERIA, token="t0ken")
    journal = ListedAnswers(*answers)
    persona = load_persona("criteria-raiser")
    found = await raise_criteria(subject, {"E1": 9, "E2": 8}, persona, journal, ReviewSettings(backend="a/b"))
    return found, journal


async def test_a_raised_bar_keeps_its_id_category_and_probe(tmp_path: Path):
    found, journal = await raised(tmp_path, proposal(change(), change("add", "", text="something new")))
    first, *_, last = found.criteria.criteria
    assert (first.id, first.category, first.probe, first.text) == ("E1", "must", "pytest", "asks for more")
    assert len(first.anti_patterns) == 2 and first.score_anchors["9"] == "fully"
    assert (last.id, last.text) == ("E4", "something new")
    assert found.why == "it told nothing apart; it told nothing apart"
    assert "E1 9, E2 8" in journal.requests[0].prompt


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (change(criterion="E9"), "which is no criterion"),
        (change(anti_patterns=["one"]), "changes.0.anti_patterns: has 1; give two to four"),
        (change(text="asks 1"), "leaves the text of E1 as it is"),
        (change(score_anchors={**ANCHORS, "nine": ""}), "lacks anchors for 3, 5, 7, 9"),
        (change("add", "E1"), "an addition names none"),
    ],
)
async def test_what_breaks_a_rule_is_shown_once_and_then_raises_nothing(tmp_path: Path, wrong: Any, said: str):
    found, journal = await raised(tmp_path, proposal(wrong), proposal(change()))
    assert found.criteria is not None and said in journal.requests[1].history[-1]["parts"][0]["content"]
    found, _ = await raised(tmp_path, proposal(wrong), proposal(wrong))
    assert found.criteria is None and not found.unchanged and said in found.why


async def test_nothing_left_to_ask_is_an_answer_and_a_failure_is_none(tmp_path: Path):
    found, _ = await raised(tmp_path, proposal(because="all of it is as good as it gets"))
    assert found.criteria is None and found.unchanged and "as good as it gets" in found.why
    found, journal = await raised(tmp_path, proposal(), proposal(because="done"))
    assert found.unchanged and len(journal.requests) == 2
    found, _ = await raised(tmp_path, CallFailure(kind="timeout", message="no answer"))
    assert found.criteria is None and not found.unchanged and found.dispatch.status == "failed"
