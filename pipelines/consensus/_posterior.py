"""How likely an answer is right, given who stands for what and how often each is right.

A model of agents, stated so that it can be disputed. Each is right with its measured accuracy. A question in three
(`MISLEADING`) leads all who err to the same wrong answer; on others, those who err are spread over wrong answers as
Ewens' sampling formula spreads them (doi:10.1016/0040-5809(72)90035-4), two alike in one of `SPREAD` + 1 cases. So two
that err agree half of the time, and a third that errs joins two that agree in four of five cases.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

MISLEADING = 1 / 3
"""Share of questions on which whoever errs errs alike."""
SPREAD = 3.0
"""Ewens' parameter: how many ways there are to be wrong on other questions."""
SUREST = 0.98
"""No record makes an agent count as more certain than this, or as less than the rest."""
UNKNOWN = 0.5
"""An agent without a record that was heard counts as a coin."""

Groups = tuple[tuple[float, ...], ...]
"""Accuracies of agents that stand for the same answer, for each answer; sorted, so that equal panels are equal."""


class Odds(NamedTuple):
    """Logarithms of probabilities."""

    right: tuple[float, ...]
    """That these beliefs came about and this group is right, for each group."""
    together: float
    """That they came about, whoever is right, if anybody."""

    @property
    def surest(self) -> float:
        """The probability of the answer that is most likely right."""
        return math.exp(max(self.right) - self.together) if self.right else 0.0


def posterior(beliefs: Mapping[str, str], accuracies: Mapping[str, float]) -> dict[str, float]:
    """The probability of each answer that somebody stands for; what is missing to 1 is that none of them is right."""
    groups = by_answer(beliefs, accuracies)
    found = odds(tuple(groups.values()))
    return {answer: math.exp(one - found.together) for answer, one in zip(groups, found.right, strict=True)}


def by_answer(beliefs: Mapping[str, str], accuracies: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    """The accuracies of those who stand for each answer, sorted."""
    groups: dict[str, list[float]] = {}
    for agent, answer in beliefs.items():
        groups.setdefault(answer, []).append(credible(accuracies.get(agent, UNKNOWN)))
    return {answer: tuple(sorted(group)) for answer, group in groups.items()}


def credible(accuracy: float) -> float:
    return min(max(accuracy, 1 - SUREST), SUREST)


@functools.lru_cache(maxsize=1 << 14)
def odds(groups: Groups) -> Odds:
    """How likely these groups are, with each of them right and at all."""
    # Sums that are exact have no order: another order of the panel must not change the last digit.
    wrong = [math.fsum(math.log(1 - one) for one in group) for group in groups]
    all_wrong, sizes = math.fsum(wrong), [len(group) for group in groups]
    right = tuple(
        math.fsum([all_wrong, -wrong[n], *(math.log(one) for one in group), _log_split(sizes[:n] + sizes[n + 1 :])])
        for n, group in enumerate(groups)
    )
    return Odds(right, _log_sum([*right, all_wrong + _log_split(sizes)]))


def heard_next(groups: Groups, accuracy: float) -> Iterator[tuple[Groups, float]]:
    """What the groups may be when one more agent is heard, sorted, with the probability of each."""
    now = odds(groups).together
    for n in range(len(groups) + 1):
        joined = (*groups[n], accuracy) if n < len(groups) else (accuracy,)
        then = tuple(sorted((*groups[:n], tuple(sorted(joined)), *groups[n + 1 :])))
        yield then, math.exp(odds(then).together - now)


@functools.lru_cache(maxsize=1 << 14)
def surest_after(groups: Groups, left: tuple[float, ...]) -> float:
    """The expected probability of whichever answer is most likely right once all that are `left` have been heard."""
    if not left:
        return odds(groups).surest
    return math.fsum(chance * surest_after(then, left[1:]) for then, chance in heard_next(groups, left[0]))


def _log_split(sizes: list[int]) -> float:
    """Logarithm of the chance that agents which are all wrong stand for different answers in groups of these sizes."""
    if not sizes:
        return 0.0
    ways = math.fsum([len(sizes) * math.log(SPREAD), *(math.lgamma(size) for size in sizes)])
    spread = math.log(1 - MISLEADING) + ways + math.lgamma(SPREAD) - math.lgamma(SPREAD + sum(sizes))
    return spread if len(sizes) > 1 else _log_sum([spread, math.log(MISLEADING)])


def _log_sum(logarithms: list[float]) -> float:
    top = max(logarithms)
    return top + math.log(math.fsum(math.exp(one - top) for one in logarithms))
