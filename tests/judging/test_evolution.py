"""Criteria that rise: when they may, and what a risen set has to be."""

from __future__ import annotations

import pytest

from bessemer.actors.judging import CriterionChange, evolve, may_rise
from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.cluster.errors import CriteriaError

ANCHORS = {"3": "a", "5": "b", "7": "c", "9": "d"}
FOUR = CriteriaSet(
    source="user",
    criteria=tuple(Criterion(id=f"E{n}", text=f"t{n}", category="must" if n == 1 else "should") for n in range(1, 5)),
)


def change(kind: str, criterion: str = "", text: str = "asks for more", **more: object) -> CriterionChange:
    new = {"id": "x", "text": text, "score_anchors": ANCHORS, **more}
    return CriterionChange.model_validate({"type": kind, "criterion": criterion, "new": new})


@pytest.mark.parametrize(
    ("scores", "times", "may"),
    [
        ((8, 8, 1, 1), 0, True),
        ((8, 8, 1, 1), 1, True),
        ((8, 8, 1, 1), 2, False),
        ((9, 7, 7, 7), 0, False),
        ((), 0, False),
    ],
)
def test_two_met_criteria_raise_the_set_twice_at_most(scores: tuple[int, ...], times: int, may: bool):
    assert may_rise({f"E{n}": score for n, score in enumerate(scores)}, times) is may


def test_ids_and_categories_stay_and_the_hash_does_not():
    found = evolve(FOUR, [change("sharpen", "E1", category="could"), change("add", text="new")])
    assert [(one.id, one.category) for one in found.criteria] == [
        ("E1", "must"), ("E2", "should"), ("E3", "should"), ("E4", "should"), ("E5", "should")
    ]  # fmt: skip
    assert found.criteria[0].text == "asks for more"
    assert found.content_hash != FOUR.content_hash
    assert evolve(FOUR, []) is FOUR


def test_a_replacement_takes_the_place_but_not_the_id():
    found = evolve(FOUR, [change("retire_replace", "E2")])
    assert [one.id for one in found.criteria] == ["E1", "E5", "E3", "E4"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([change("sharpen", "E9")], "which is no criterion"),
        ([change("sharpen", "E1"), change("elevate", "E1")], "a second time"),
        ([change("sharpen", "E1", text="t1")], "as it is"),
        ([change("sharpen", "E1", text=" ")], "has no text"),
        ([change("add", score_anchors={"3": "a"})], "lacks anchors"),
        ([change("add", "E1")], "an addition names none"),
        ([change("add", text=f"n{n}") for n in range(4)], "8 criteria would be left"),
        ([change("retire_replace", "E1")], "no criterion would be a must"),
    ],
)
def test_what_would_spoil_the_set_is_refused(changes: list[CriterionChange], said: str):
    with pytest.raises(CriteriaError, match=said):
        evolve(FOUR, changes)
