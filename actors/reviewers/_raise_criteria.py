"""The criteria raiser: a harder version of criteria that work meets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from bessemer.actors.builders.base import Journal
from bessemer.actors.judging import CriterionChange, evolve
from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.actors.reviewers._answers import ChangeAnswer, EvolutionAnswer
from bessemer.actors.reviewers._dispatch import Dispatch, dispatched
from bessemer.actors.reviewers._material import Subject, material_for
from bessemer.actors.reviewers._persona import Persona
from bessemer.actors.reviewers._review import Prompt, ReviewSettings, review
from bessemer.cluster.errors import CriteriaError

_ASK = """Raise the criteria above, for the task above and the deliverable shown. What it scored: {scores}."""


class RaisedCriteria(BaseModel):
    """What the criteria raiser brought."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    criteria: CriteriaSet | None
    """None where nothing is raised."""
    changes: tuple[CriterionChange, ...] = ()
    unchanged: bool = False
    """Whether the model says that nothing worth asking is left."""
    why: str = ""
    """Why nothing is raised, or what each change is for."""
    dispatch: Dispatch


async def raise_criteria(
    subject: Subject, scores: Mapping[str, int], persona: Persona, journal: Journal, settings: ReviewSettings
) -> RaisedCriteria:
    """Have a model raise `subject.criteria`. What still breaks a rule after its repair turn raises nothing."""
    material = await asyncio.to_thread(material_for, subject, settings.inline_bytes)
    told = ", ".join(f"{name} {score}" for name, score in sorted(scores.items())) or "every criterion is met"
    answered = await review(
        persona,
        Prompt(material, _ASK.format(scores=told)),
        EvolutionAnswer,
        journal,
        settings,
        lambda answer: _problems(subject.criteria, answer),
    )
    dispatch = dispatched(persona, settings.backend, answered)
    if answered.answer is None:
        return RaisedCriteria(criteria=None, why=answered.message, dispatch=dispatch)
    if answered.problems:
        return RaisedCriteria(criteria=None, why="; ".join(answered.problems)[:500], dispatch=dispatch)
    changes = _changes(answered.answer)
    if not changes:
        why = " ".join(answered.answer.unchanged_because.split())
        return RaisedCriteria(criteria=None, unchanged=True, why=why, dispatch=dispatch)
    why = "; ".join(" ".join(one.why.split()) for one in answered.answer.changes if one.why.strip())
    return RaisedCriteria(criteria=evolve(subject.criteria, changes), changes=changes, why=why, dispatch=dispatch)


def _problems(criteria: CriteriaSet, answer: EvolutionAnswer) -> list[str]:
    if not answer.changes:
        return [] if answer.unchanged_because.strip() else ["unchanged_because: say why nothing is raised, or change"]
    problems = [
        f"changes.{n}.anti_patterns: has {count}; give two to four"
        for n, one in enumerate(answer.changes)
        if not 2 <= (count := sum(bool(text.strip()) for text in one.anti_patterns)) <= 4
    ]
    try:
        evolve(criteria, _changes(answer))
    except CriteriaError as error:
        problems.append(error.message)
    return problems


def _changes(answer: EvolutionAnswer) -> tuple[CriterionChange, ...]:
    return tuple(CriterionChange(type=one.type, criterion=one.criterion, new=_new(one)) for one in answer.changes)


def _new(one: ChangeAnswer) -> Criterion:
    anchors = one.score_anchors
    return Criterion(
        id=one.criterion or "new",
        text=" ".join(one.text.split()),
        category=one.category,
        verify_by=one.verify_by,
        anti_patterns=tuple(text for text in one.anti_patterns if text.strip()),
        score_anchors={"3": anchors.three, "5": anchors.five, "7": anchors.seven, "9": anchors.nine},
    )
