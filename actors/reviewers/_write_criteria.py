"""The criteria writer: three to seven criteria for one task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from bessemer.actors.builders.base import Journal
from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.actors.reviewers._answers import CriteriaAnswer, CriterionAnswer
from bessemer.actors.reviewers._dispatch import Dispatch, dispatched
from bessemer.actors.reviewers._material import Subject, material_for
from bessemer.actors.reviewers._persona import Persona
from bessemer.actors.reviewers._review import Prompt, ReviewSettings, review

FEWEST, MOST = 3, 7
_ASK = """Write the criteria for the task above. What is shown of the deliverable is the state work starts from; judge
nothing now. Probes that run here: {probes}."""


class WrittenCriteria(BaseModel):
    """What the criteria writer brought: criteria, or None where it gave nothing that can be judged by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    criteria: CriteriaSet | None
    dispatch: Dispatch


async def write_criteria(
    subject: Subject, probes: Sequence[str], persona: Persona, journal: Journal, settings: ReviewSettings
) -> WrittenCriteria:
    """Have a model write criteria for `subject.goal`; `subject.criteria` may be empty.

    Single criteria that cannot be used are left out; a set that is too long is cut to the first seven.
    """
    material = await asyncio.to_thread(material_for, subject, settings.inline_bytes)
    names = tuple(probes)
    answered = await review(
        persona,
        Prompt(material, _ASK.format(probes=", ".join(names) or "none")),
        CriteriaAnswer,
        journal,
        settings,
        lambda answer: _problems(answer, names),
    )
    dispatch = dispatched(persona, settings.backend, answered)
    if answered.answer is None:
        return WrittenCriteria(criteria=None, dispatch=dispatch)
    kept = [one for one in answered.answer.criteria if one.text.strip()][:MOST]
    criteria = tuple(_criterion(n, one, names) for n, one in enumerate(kept, start=1))
    if not criteria:
        return WrittenCriteria(criteria=None, dispatch=dispatch)
    if not any(one.category == "must" for one in criteria):
        # A set without a must could converge on a good average alone.
        criteria = (criteria[0].model_copy(update={"category": "must"}), *criteria[1:])
    aspiration = " ".join(answered.answer.aspiration.split())
    found = CriteriaSet(source="written", criteria=criteria, aspiration=aspiration)
    return WrittenCriteria(criteria=found, dispatch=dispatch)


def _problems(answer: CriteriaAnswer, probes: Sequence[str]) -> list[str]:
    count = len(answer.criteria)
    problems = [] if FEWEST <= count <= MOST else [f"criteria: has {count}; write {FEWEST} to {MOST}"]
    musts = sum(one.category == "must" for one in answer.criteria)
    if count and not musts:
        problems.append("criteria: none is a must; mark the one or two without which the result is of no use")
    for n, one in enumerate(answer.criteria):
        if not one.text.strip():
            problems.append(f"criteria[{n}].text: is empty")
        if one.probe and one.probe not in probes:
            problems.append(f"criteria[{n}].probe: {one.probe!r} is no probe here; leave it empty")
    if len({one.text.strip().casefold() for one in answer.criteria}) < count:
        problems.append("criteria: two have the same text")
    return problems


def _criterion(number: int, one: CriterionAnswer, probes: Sequence[str]) -> Criterion:
    anchors = one.score_anchors
    return Criterion(
        id=f"E{number}",
        text=" ".join(one.text.split()),
        category=one.category,
        probe=one.probe if one.probe in probes else "",
        verify_by=one.verify_by,
        anti_patterns=tuple(text for text in one.anti_patterns if text.strip()),
        score_anchors={"3": anchors.three, "5": anchors.five, "7": anchors.seven, "9": anchors.nine},
    )
