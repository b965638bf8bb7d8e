"""Raising the bar: criteria that the work meets are made to ask for more, by rules that keep a set usable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.cluster.errors import CriteriaError

ANCHORS = ("3", "5", "7", "9")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvolutionPolicy(_Frozen):
    """When criteria rise, and how far."""

    bar: int = 8
    """The score from which a criterion counts as met for good."""
    met: int = 2
    """Criteria at the bar from which the set may rise."""
    most_times: int = 2
    """How often in a run."""
    fewest: int = 4
    most: int = 7


class CriterionChange(_Frozen):
    """One change of a set. `sharpen` asks the same more exactly, `elevate` asks for more; `add` has no `criterion`."""

    type: Literal["sharpen", "elevate", "add", "retire_replace"]
    criterion: str = ""
    """Id of the criterion that is changed or retired."""
    new: Criterion
    """Its text, anchors and anti-patterns from now on; its id is given by code."""


def may_rise(scores: Mapping[str, int], times: int, policy: EvolutionPolicy | None = None) -> bool:
    """Whether enough criteria are met, and the set has not risen too often."""
    rules = policy or EvolutionPolicy()
    return times < rules.most_times and sum(score >= rules.bar for score in scores.values()) >= rules.met


def evolve(
    criteria: CriteriaSet, changes: Sequence[CriterionChange], policy: EvolutionPolicy | None = None
) -> CriteriaSet:
    """The set with these changes; without any it is the same. Raises CriteriaError naming everything that is wrong.

    A sharpened or elevated criterion keeps its id and its category, a replacement gets the next free id.
    """
    if not changes:
        return criteria
    items = {one.id: one for one in criteria.criteria}
    problems = _problems(changes, items)
    for change in changes if not problems else ():
        if change.type in ("sharpen", "elevate"):
            old = items[change.criterion]
            items[old.id] = change.new.model_copy(update={"id": old.id, "category": old.category, "probe": old.probe})
            continue
        name = _free(items, criteria)
        if change.type == "retire_replace":
            items = {
                (name if key == change.criterion else key): (
                    change.new.model_copy(update={"id": name}) if key == change.criterion else one
                )
                for key, one in items.items()
            }
        else:
            items[name] = change.new.model_copy(update={"id": name})
    rules = policy or EvolutionPolicy()
    # A set that began smaller or larger need not change its size to rise.
    fewest, most = min(rules.fewest, len(criteria.criteria)), max(rules.most, len(criteria.criteria))
    if not problems and not fewest <= len(items) <= most:
        problems.append(f"{len(items)} criteria would be left; keep {fewest} to {most}")
    had_must = any(one.category == "must" for one in criteria.criteria)
    if not problems and had_must and not any(one.category == "must" for one in items.values()):
        problems.append("no criterion would be a must; keep one at least")
    if problems:
        raise CriteriaError(f"the criteria cannot be raised so: {'; '.join(problems)}")
    return criteria.model_copy(update={"criteria": tuple(items.values())})


def _problems(changes: Sequence[CriterionChange], items: Mapping[str, Criterion]) -> list[str]:
    problems, touched = [], set()
    for number, change in enumerate(changes, start=1):
        where = f"change {number} ({change.type})"
        if change.type == "add":
            if change.criterion:
                problems.append(f"{where} names {change.criterion!r}; an addition names none")
        elif change.criterion not in items:
            problems.append(f"{where} names {change.criterion!r}, which is no criterion")
        elif change.criterion in touched:
            problems.append(f"{where} changes {change.criterion} a second time")
        elif " ".join(change.new.text.split()) == items[change.criterion].text:
            problems.append(f"{where} leaves the text of {change.criterion} as it is")
        touched.add(change.criterion)
        if not change.new.text.strip():
            problems.append(f"{where} has no text")
        if tuple(sorted(change.new.score_anchors)) != ANCHORS or not all(change.new.score_anchors.values()):
            problems.append(f"{where} lacks anchors for {', '.join(ANCHORS)}")
    return problems


def _free(items: Mapping[str, Criterion], before: CriteriaSet) -> str:
    taken = {*items, *before.by_id()}
    number = 1
    while f"E{number}" in taken:
        number += 1
    return f"E{number}"
