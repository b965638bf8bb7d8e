"""How likely an answer is right, given who stands for what and how often each is right.

A model of agents, stated so that it can be disputed: each is right with its measured accuracy, independently; two that
are wrong say the same half of the time. Real models that err alike more often than that make it too sure of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

COINCIDENCE = 0.5
"""Chance that an agent that is wrong says what another wrong one has said."""
SUREST = 0.98
"""No record makes an agent count as more certain than this, or as less than the rest."""
UNKNOWN = 0.5


def posterior(beliefs: Mapping[str, str], accuracies: Mapping[str, float]) -> dict[str, float]:
    """The probability of each answer that somebody stands for; what is missing to 1 is that none of them is right."""
    groups: dict[str, list[str]] = {}
    for agent, answer in beliefs.items():
        groups.setdefault(answer, []).append(agent)
    wrong = {answer: _wrong(agents, accuracies) for answer, agents in groups.items()}
    # Sums that are exact have no order: another order of the panel must not change the last digit.
    nobody = math.fsum(wrong.values())
    likely = {
        answer: nobody - wrong[answer] + math.fsum(math.log(_accuracy(one, accuracies)) for one in agents)
        for answer, agents in groups.items()
    }
    top = max([nobody, *likely.values()])
    weights = {answer: math.exp(one - top) for answer, one in likely.items()}
    whole = math.fsum([*weights.values(), math.exp(nobody - top)])
    return {answer: weight / whole for answer, weight in weights.items()}


def _wrong(agents: list[str], accuracies: Mapping[str, float]) -> float:
    """Logarithm of the chance that all of these are wrong, and alike."""
    alike = (len(agents) - 1) * math.log(COINCIDENCE)
    return math.fsum(math.log(1 - _accuracy(one, accuracies)) for one in agents) + alike


def _accuracy(agent: str, accuracies: Mapping[str, float]) -> float:
    return min(max(accuracies.get(agent, UNKNOWN), 1 - SUREST), SUREST)
