"""Stopping below a majority, at a stated loss: how much less often right than everybody's most likely answer.

What is lost with a leader is the probability that it is right now, taken from that of whichever answer will be most
likely once all who are left have been heard. A leader with which no more than the tolerance t is lost is taken. One
with which more is lost is taken in so many of such cases that their mean is t: if a further agent agrees with
probability q and then l' is lost, and t after any other answer, taking a loss l > t in p of the cases loses
p l + (1 - p)(q l' + (1 - q) t) on average. This is t with p = g / (l - t + g), where g = q (t - l'). So a test between
one that stops too early and one that stops too late keeps a rate that neither has (Wald and Wolfowitz,
doi:10.1214/aoms/1177730197).
"""

from __future__ import annotations

import itertools
import math
import operator
import random
from collections.abc import Collection, Iterable, Mapping
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

FORESIGHT = 5
"""Agents that are looked ahead at most, the most accurate of those left."""
MOST_FUTURES = 3000
"""Each agent multiplies what may be heard by the answers there are: where there are many, fewer are looked ahead."""
LARGEST_LOSS = 3
"""Times the tolerance; a leader with which more is lost is never taken. A call saves most where least is lost."""


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
    """The leader, if it may be taken now; `left` are agents whose answer nobody has heard yet.

    As many as the quorum that stand for it have a record, so that a panel nobody knows decides nothing early.
    """
    if not beliefs:
        return None
    leader = _leader(beliefs, rules)
    if leader.measured < quorum or leader.error >= 0.5:
        return None
    chance = _chance_to_take(beliefs, rules, leader, _accuracies(left, rules))
    return leader if chance == 1 or _lot(rules.seed, len(beliefs)) < chance else None


def fewest_to_confidence(
    beliefs: Mapping[str, str], rules: Rules, quorum: int, asked: Collection[str], unheard: Collection[str], most: int
) -> int:
    """Fewest of the agents `asked` with whom the leader may be taken: the most accurate first, and all for it."""
    then = dict(beliefs)
    answer = _leader(beliefs, rules).answer if beliefs else "?"
    best_first = sorted(asked, key=lambda one: (-rules.accuracies.get(one, 0), one))
    for more, agent in enumerate(best_first[:most], start=1):
        then[agent] = answer
        if confident(then, rules, quorum, set(unheard) - then.keys()):
            return more
    return most


def _leader(beliefs: Mapping[str, str], rules: Rules) -> Leader:
    likely = posterior(beliefs, rules.accuracies)
    answer = max(likely, key=lambda one: (likely[one], one))
    behind = {agent for agent, one in beliefs.items() if one == answer}
    return Leader(answer, len(behind), len(behind & rules.accuracies.keys()), 1 - likely[answer])


def _chance_to_take(beliefs: Mapping[str, str], rules: Rules, leader: Leader, left: tuple[float, ...]) -> float:
    if not left:
        return float(leader.error <= rules.tolerance)
    groups = by_answer(beliefs, rules.accuracies)
    now = _sorted(groups.values())
    lost = _lost(now, left)
    if lost <= rules.tolerance:
        return 1.0
    if lost > LARGEST_LOSS * rules.tolerance:
        return 0.0
    # Whom the panel asks next depends on prices too: whoever would change least is taken for it.
    groups[leader.answer] = tuple(sorted((*groups[leader.answer], left[-1])))
    then = _sorted(groups.values())
    agreeing = math.exp(odds(then).together - odds(now).together)
    gain = agreeing * (rules.tolerance - _lost(then, left[:-1]))
    return gain / (lost - rules.tolerance + gain) if gain > 0 else 0.0


def _lost(groups: Groups, left: tuple[float, ...]) -> float:
    """What is lost by taking the surest answer before those who are left are heard; never less than nothing."""
    futures = itertools.accumulate(range(len(groups) + 1, len(groups) + 1 + FORESIGHT), operator.mul)
    ahead = sum(one <= MOST_FUTURES for one in futures)
    return max(surest_after(groups, left[:ahead]) - odds(groups).surest, 0.0)


def _sorted(groups: Iterable[tuple[float, ...]]) -> Groups:
    return tuple(sorted(groups))


def _accuracies(left: Collection[str], rules: Rules) -> tuple[float, ...]:
    """From the most accurate to the least; one without a record as the most accurate that has one: most is lost so."""
    best = max(rules.accuracies.values(), default=UNKNOWN)
    return tuple(sorted((credible(rules.accuracies.get(one, best)) for one in left), reverse=True))


def _lot(seed: int, heard: int) -> float:
    """A number from 0 to 1, drawn anew for each number of agents that have been heard."""
    return random.Random(f"{seed}/{heard}/lot").random()  # noqa: S311  (a share of cases, not a secret)
