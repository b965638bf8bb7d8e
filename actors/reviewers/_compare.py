"""The regression guard as a reviewer: two versions, unlabelled, and code that knows which is which."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bessemer.actors.builders.base import Journal
from bessemer.actors.judging import (
    Side,
    guard_from_blind,
    guard_from_probes,
    merge_guards,
)
from bessemer.actors.judging.types import CriteriaSet, GuardDimension, GuardVerdict
from bessemer.actors.reviewers._answers import ComparisonAnswer
from bessemer.actors.reviewers._dispatch import Dispatch, dispatched, measured
from bessemer.actors.reviewers._evidence import EvidenceIndex
from bessemer.actors.reviewers._material import (
    Fence,
    Material,
    Subject,
    Tree,
    headed,
    read_tree,
    show_criteria,
    show_deliverable,
    show_probes,
)
from bessemer.actors.reviewers._persona import PROBES, Persona
from bessemer.actors.reviewers._review import Prompt, ReviewSettings, review

_ASK = "Compare A and B on every criterion above, each exactly once: {ids}. Scores are whole numbers from 1 to 10."


class Comparison(BaseModel):
    """What the regression guard found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    guard: GuardVerdict
    dispatch: Dispatch


def compare_by_probes(previous: Subject, candidate: Subject) -> Comparison:
    """The guard where no model may judge."""
    guard = guard_from_probes(previous.probes, candidate.probes, candidate.criteria)
    return Comparison(guard=guard, dispatch=measured(PROBES.model_copy(update={"stage": "guard"})))


async def compare(
    previous: Subject,
    candidate: Subject,
    *,
    candidate_is: Side,
    persona: Persona,
    journal: Journal,
    settings: ReviewSettings,
) -> Comparison:
    """Have a model compare blindly; what the probes saw lost stays lost. Without an answer the probes decide.

    `candidate_is` is the side the candidate is shown on, drawn by `candidate_side` from what the caller journals.
    """
    by_probes = guard_from_probes(previous.probes, candidate.probes, candidate.criteria)
    a, b = (previous, candidate) if candidate_is == "B" else (candidate, previous)
    material = await asyncio.to_thread(_material, a, b, settings.inline_bytes)
    criteria = candidate.criteria
    texts = {f"{name}/{path}": text for name, tree in material.trees.items() for path, text in tree.texts.items()}
    evidence = EvidenceIndex(texts, (*a.probes, *b.probes))
    ask = _ASK.format(ids=", ".join(one.id for one in criteria.criteria))
    answered = await review(
        persona,
        Prompt(material, ask),
        ComparisonAnswer,
        journal,
        settings,
        lambda answer: _problems(answer, criteria, evidence),
    )
    dispatch = dispatched(persona, settings.backend, answered)
    if answered.answer is None:
        said = f"{by_probes.summary} (no blind comparison: {answered.message})"
        return Comparison(guard=by_probes.model_copy(update={"summary": said}), dispatch=dispatch)
    blind = guard_from_blind(_dimensions(answered.answer), candidate_is, criteria, judge=settings.backend)
    return Comparison(guard=merge_guards(blind, by_probes), dispatch=dispatch)


def _material(a: Subject, b: Subject, budget: int) -> Material:
    """Only what differs is put into the prompt; the sides share the budget, and nothing tells old from new."""
    trees = {"A": read_tree(Path(a.tree)), "B": read_tree(Path(b.tree))}
    same = {path for path, text in trees["A"].texts.items() if trees["B"].texts.get(path) == text}
    contents = [a.goal, *(text for tree in trees.values() for text in tree.texts.values())]
    fence = Fence(a.token, [*contents, *(probe.evidence for one in (a, b) for probe in one.probes)])
    shown = {side: show_deliverable(_differing(tree, same), (), fence, budget // 2) for side, tree in trees.items()}
    sections = {
        "The task": fence.around("task", a.goal),
        "Criteria": show_criteria(a.criteria),
        "A": f"{shown['A'].text}\n\n{show_probes(a.probes, fence)}",
        "B": f"{shown['B'].text}\n\n{show_probes(b.probes, fence)}",
        "The same in both": "\n".join(f"- {path}" for path in sorted(same)[:200]),
    }
    left_out = [f"{side}/{path}" for side, one in shown.items() for path in one.left_out]
    return Material(headed(sections), trees, fence, tuple(left_out))


def _differing(tree: Tree, same: set[str]) -> Tree:
    return Tree({path: text for path, text in tree.texts.items() if path not in same}, tree.others)


def _problems(answer: ComparisonAnswer, criteria: CriteriaSet, evidence: EvidenceIndex) -> list[str]:
    known = criteria.by_id()
    counts = {key: sum(one.criterion == key for one in answer.dimensions) for key in known}
    problems = [f"dimensions: {key} is compared {n} times; compare it once" for key, n in counts.items() if n != 1]
    for n, one in enumerate(answer.dimensions):
        where = f"dimensions[{n}]"
        if one.criterion not in known:
            problems.append(f"{where}.criterion: {one.criterion!r} is no criterion; they are {', '.join(known)}")
        scores = {"A": one.answer_a_score, "B": one.answer_b_score}
        problems += [f"{where}: the score {score} is not 1 to 10" for score in scores.values() if not 1 <= score <= 10]
        if one.stronger != "equivalent" and scores[one.stronger] < max(scores.values()):
            problems.append(f"{where}.stronger: is {one.stronger}, but its score is the lower one")
        if evidence.find(one.evidence).known is False:
            problems.append(f"{where}.evidence: this is in neither version; quote exactly or leave it empty")
    return problems


def _dimensions(answer: ComparisonAnswer) -> list[GuardDimension]:
    """Dimensions whose scores are scores; of several for one criterion none counts."""
    counts = [one.criterion for one in answer.dimensions]
    return [
        GuardDimension.model_validate(one.model_dump())
        for one in answer.dimensions
        if counts.count(one.criterion) == 1 and 1 <= one.answer_a_score <= 10 and 1 <= one.answer_b_score <= 10
    ]
