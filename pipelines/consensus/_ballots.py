"""What one agent is shown of the others' answers: unnamed, in an order of its own, and never more than a few."""

from __future__ import annotations

import random
from typing import NamedTuple

from bessemer.pipelines.consensus._acts import History, Rules, standing_answers
from bessemer.pipelines.consensus._count import count

MOST_SHOWN = 6
"""Answers one agent reads in a round: what reading costs grows with the agents, not with their square."""
LEADERS_SHOWN = 2
"""Of these, the answers that lead; the rest rotates, so that every answer is read by somebody."""


class Ballot(NamedTuple):
    """The answers shown to one agent in one round. A label means nothing outside its ballot."""

    labels: dict[str, str]
    """Content hash by label, in the order of showing."""
    own: str
    """Hash of the agent's own standing answer; empty where it has none."""

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(self.labels.values())


def draw(history: History, rules: Rules, agent: str, number: int, seed: int) -> Ballot:
    """The ballot of an agent for round `number`. The same seed draws the same ballot."""
    answers = standing_answers(history, number - 1)
    own = answers[agent].answer if agent in answers else ""
    others = sorted({one.answer for one in answers.values()} - {own})
    place = history.panel.index(agent)
    chosen = _sample(others, history, rules, number, place) if len(others) > MOST_SHOWN else others
    shuffled = list(chosen)
    random.Random(f"{seed}/{number}/{place}").shuffle(shuffled)  # noqa: S311  (an order, not a secret)
    return Ballot({f"answer-{n}": one for n, one in enumerate(shuffled, start=1)}, own)


def _sample(others: list[str], history: History, rules: Rules, number: int, place: int) -> list[str]:
    """The leaders, then a window that moves on with every agent and round."""
    votes = count(history, rules, number).votes
    leading = sorted((one for one in others if votes.get(one)), key=lambda one: (-votes[one], one))[:LEADERS_SHOWN]
    rest = [one for one in others if one not in leading]
    size = MOST_SHOWN - len(leading)
    start = (place + (number - 1) * size) * size % len(rest)
    return leading + (rest + rest)[start : start + size]
