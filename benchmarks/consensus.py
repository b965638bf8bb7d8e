"""What deciding early is worth: agents of known accuracy and correlation play the protocol itself, without any calls.

    python -m benchmarks.consensus [--questions 2000] [--seed 1]

Each question has one right answer and four wrong ones. With probability `correlation` a question is misleading: then
whoever errs errs alike. An agent that reads others' answers votes for the right one, where it is shown, as often as it
would have known it; else for any. A turn costs what its agent costs. Compared are the best agent alone, one answer of
everybody with the most frequent taken, the protocol at full speed, asking only as many as could decide (`thrifty`), and
stopping once the estimated error is within 5 % (`sequential`). All ways meet the same questions and the same agents'
answers, so that their differences are paired.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest, bootstrap

from bessemer.pipelines.consensus._acts import Act, Answered, History, Rules, Voted
from bessemer.pipelines.consensus._ballots import draw
from bessemer.pipelines.consensus._count import decide, force, still_needed, to_ask

RIGHT = "right"
WRONG = ("wrong-1", "wrong-2", "wrong-3", "wrong-4")
PANELS = {
    "five alike": ((0.8, 1.0),) * 5,
    "five, one dear": ((0.9, 5.0), (0.75, 1.0), (0.75, 1.0), (0.75, 1.0), (0.75, 1.0)),
    "seven alike": ((0.7, 1.0),) * 7,
}
"""Accuracy and price of a turn, by agent."""
CORRELATIONS = (0.0, 0.3)
WAYS = ("best alone", "plain majority", "fast", "thrifty", "sequential")
RESAMPLES = 2000


class Agent(NamedTuple):
    accuracy: float
    price: float


class Played(NamedTuple):
    right: bool
    cost: float


class Question:
    """One question, and what every agent says to it in every round, whoever is asked first."""

    def __init__(self, seed: int, number: int, agents: Sequence[Agent], correlation: float) -> None:
        self._name = f"{seed}/{number}"
        chance = random.Random(self._name)
        self._trap = chance.choice(WRONG) if chance.random() < correlation else ""
        self.agents = {f"a{n}": agent for n, agent in enumerate(agents)}

    def chance(self, what: str) -> random.Random:
        return random.Random(f"{self._name}/{what}")

    def known(self, name: str, number: int = 1) -> str:
        """What an agent takes for right in a round."""
        chance = self.chance(f"{name}/{number}")
        if chance.random() < self.agents[name].accuracy:
            return RIGHT
        return self._trap or chance.choice(WRONG)

    def turn(self, history: History, rules: Rules, name: str, number: int) -> Act:
        meant = self.known(name, number)
        if number == 1:
            return Answered(agent=name, round=1, answer=meant)
        ballot = draw(history, rules, name, number, 1)
        target = meant if meant in ballot.shown else self.chance(f"{name}/{number}/any").choice(ballot.shown)
        return Voted(agent=name, round=number, shown=ballot.shown, target=target, ranking=(target,))


def play(question: Question, way: str) -> Played:
    """One question by the protocol: at full speed, thrifty or sequential."""
    panel = question.agents
    rules, history, cost = Rules(), History(panel=tuple(panel)), 0.0
    if way == "sequential":
        rules = Rules(policy="sequential", accuracies={name: one.accuracy for name, one in panel.items()})
    for number in (1, 2, 3):
        waiting = list(to_ask(history, rules, number))
        question.chance(f"order/{number}").shuffle(waiting)
        waiting.sort(key=lambda name: panel[name].price / panel[name].accuracy)
        began = history
        while waiting and decide(history, rules, number) is None:
            few = len(waiting) if way == "fast" else still_needed(history, rules, number)
            for name in waiting[:few]:
                history = history.adding(question.turn(began, rules, name, number))
                cost += panel[name].price
            waiting = waiting[few:]
        if decision := decide(history, rules, number):
            return Played(decision.answer == RIGHT, cost)
    return Played(force(history, rules, 3).answer == RIGHT, cost)


def ask(question: Question, way: str) -> Played:
    """One question, one of the ways."""
    panel = question.agents
    if way == "best alone":
        best = max(panel, key=lambda name: panel[name].accuracy)
        return Played(question.known(best) == RIGHT, panel[best].price)
    if way != "plain majority":
        return play(question, way)
    answers = [question.known(name) for name in panel]
    most = max(answers.count(one) for one in answers)
    tied = sorted({one for one in answers if answers.count(one) == most})
    right = question.chance("tie").choice(tied) == RIGHT
    return Played(right, sum(one.price for one in panel.values()))


def measure(name: str, correlation: float, questions: int, seed: int) -> list[dict[str, object]]:
    """One panel under every way of asking, each beside one answer of everybody."""
    agents = [Agent(*one) for one in PANELS[name]]
    asked = [Question(seed, number, agents, correlation) for number in range(questions)]
    everybody = sum(one.price for one in agents)
    played = {way: [ask(question, way) for question in asked] for way in WAYS}
    plain = np.array([one.right for one in played["plain majority"]], dtype=float)
    rows: list[dict[str, object]] = []
    for way, results in played.items():
        right = np.array([one.right for one in results], dtype=float)
        wilson = binomtest(int(right.sum()), questions).proportion_ci(method="wilson")
        cost = sum(one.cost for one in results) / questions
        rows.append(
            {
                "panel": name,
                "correlation": correlation,
                "asked": way,
                "accuracy": round(float(right.mean()), 4),
                "low": round(wilson.low, 4),
                "high": round(wilson.high, 4),
                "points_from_majority": [round(100 * one, 2) for one in paired(right - plain, seed)],
                "cost": round(cost, 3),
                "cost_per_right": round(cost / float(right.mean()), 3),
                "of_always_everybody": round(cost / everybody, 3),
            }
        )
    return rows


def paired(differences: Any, seed: int) -> tuple[float, float, float]:
    """Mean difference with its 95 % bootstrap interval."""
    mean = float(differences.mean())
    if not differences.any():
        return mean, mean, mean
    drawn = np.random.default_rng(seed)
    found = bootstrap((differences,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=drawn)
    return mean, float(found.confidence_interval.low), float(found.confidence_interval.high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name in PANELS:
        for correlation in CORRELATIONS:
            for row in measure(name, correlation, given.questions, given.seed):
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
