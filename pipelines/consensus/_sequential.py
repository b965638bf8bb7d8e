"""Stopping below a majority, at a stated loss: how much less often right than the likeliest of everybody's answers.

Stopping with a leader loses the difference between two chances: that of whichever answer will be most likely once all
who are left have been heard, and the leader's now. A leader with which no more than the tolerance t is lost is taken.
One with which more is lost is taken in so many of such cases that their mean is t: if a further agent agrees with
probability q and then l' is lost, and t after any other answer, taking a loss l > t in p of the cases loses p l + (1
- p)(q l' + (1 - q) t) on average. This is t with p = g / (l - t + g), where g = q (t - l'). So a test between one
that stops too early and one that stops too late keeps a rate that neither has (Wald and Wolfowitz,
doi:10.1214/aoms/1177730197).
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping
from typing import NamedTuple

from bessemer.pipelines.consensus._acts import Rules
from bessemer.pipelines.consensus._posterior import (
    UNKNOWN,
    Groups,
    by_answer,
    credible,
    odds,
    posterior,
    surest_after,
)

MOST_FUTURES = 3000
"""Where more than this may be heard of those who are left, all of the error counts as lost: more cannot be."""
LARGEST_LOSS = 3
"""Times the tolerance; a leader with which more is lost is never taken. A call saves most where least is lost."""
LARGEST_ERROR = 0.1
"""A leader that is more often wrong than this is never taken: what another round of votes would gain is not known."""


class Leader(NamedTuple):
    """The answer that is most likely right."""

    answer: str
    votes: int
    """Agents that stand for it."""
    measured: int
    """Of these, agents with a record."""
    error: float
    """Estimated chance that it is wrong."""


def confident(beliefs: Mapping[str, str], rules: Rules, quorum: int, left: Collection[str]) -> Leader | None:
    """The leader, if it may be taken now; `left` are agents that are still to be heard for the first time.

    As many as the quorum that stand for it have a record, so that a panel nobody knows decides nothing early.
    """
    if not beliefs:
        return None
    leader = _leader(beliefs, rules)
    if leader.measured < quorum or leader.error > LARGEST_ERROR:
        return None
    chance = _chance_to_take(beliefs, rules, leader, left)
    return leader if chance == 1 or _lot(rules.seed, len(beliefs)) < chance else None


def fewest_to_confidence(
    beliefs: Mapping[str, str], rules: Rules, quorum: int, asked: Collection[str], left: Collection[str], most: int
) -> int:
    """Fewest of the agents `asked` with whom the leader may be taken: the most accurate first, and all for it."""
    then = dict(beliefs)
    answer = _leader(beliefs, rules).answer if beliefs else "?"
    others = [agent for agent in asked if beliefs.get(agent) != answer]
    others.sort(key=lambda one: (-rules.accuracies.get(one, UNKNOWN), beliefs.get(one, "")))
    for more, agent in enumerate(others[: most - 1], start=1):
        then[agent] = answer
        if confident(then, rules, quorum, set(left) - then.keys()):
            return more
    return most


def _leader(beliefs: Mapping[str, str], rules: Rules) -> Leader:
    likely = posterior(beliefs, rules.accuracies)
    answer = max(likely, key=lambda one: (likely[one], one))
    behind = {agent for agent, one in beliefs.items() if one == answer}
    return Leader(answer, len(behind), len(behind & rules.accuracies.keys()), 1 - likely[answer])


def _chance_to_take(beliefs: Mapping[str, str], rules: Rules, leader: Leader, left: Collection[str]) -> float:
    if not left:
        return float(leader.error <= rules.tolerance)
    lost = _lost(beliefs, rules, left)
    if lost <= rules.tolerance:
        return 1.0
    if lost > LARGEST_LOSS * rules.tolerance:
        return 0.0
    # Whom the panel asks next depends on prices too: whoever would gain least by agreeing is taken for it.
    gain = min(_gain(beliefs, rules, leader.answer, agent, left) for agent in _unlike(left, rules))
    return gain / (lost - rules.tolerance + gain) if gain > 0 else 0.0


def _gain(beliefs: Mapping[str, str], rules: Rules, answer: str, agent: str, left: Collection[str]) -> float:
    """How far within the tolerance the loss would be if this agent agreed, times the chance that it does."""
    then = {**beliefs, agent: answer}
    now, more = (odds(_groups(one, rules)).together for one in (beliefs, then))
    return math.exp(more - now) * (rules.tolerance - _lost(then, rules, set(left) - {agent}))


def _lost(beliefs: Mapping[str, str], rules: Rules, left: Collection[str]) -> float:
    """What is at most lost by taking the surest answer before those who are left are heard."""
    groups = _groups(beliefs, rules)
    surest = odds(groups).surest
    futures = math.prod(range(len(groups) + 1, len(groups) + 1 + len(left)))
    if futures > MOST_FUTURES or not rules.accuracies.keys() >= set(left):
        return 1 - surest
    accuracies = sorted(credible(rules.accuracies[agent]) for agent in left)
    return max(surest_after(groups, tuple(accuracies)) - surest, 0.0)


def _groups(beliefs: Mapping[str, str], rules: Rules) -> Groups:
    return tuple(sorted(by_answer(beliefs, rules.accuracies).values()))


def _unlike(left: Collection[str], rules: Rules) -> list[str]:
    """One agent of each accuracy."""
    return list({rules.accuracies.get(agent): agent for agent in left}.values())


def _lot(seed: int, heard: int) -> float:
    """A number from 0 to 1, drawn anew for each number of agents that have been heard."""
    return random.Random(f"{seed}/{heard}/lot").random()  # noqa: S311  (a share of cases, not a secret)
