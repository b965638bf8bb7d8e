"""What deciding early is worth: agents of known accuracy and correlation play the protocol itself, without any calls.

    python -m benchmarks.consensus [--questions 8000] [--seed 1]

Each question has one right answer and four wrong ones, or one. With probability `correlation` a question is
misleading: then whoever errs errs alike. An agent that reads others' answers votes for the right one, where it is
shown, as often as it would have known it; else for any. A turn costs what its agent costs. Compared are the best
agent alone, one answer of everybody with the most frequent taken, the protocol at full speed, asking only as many as
could decide (`thrifty`), and stopping where by the policy's own model 0.5 or 2 points are lost on average
(`sequential`). All ways meet the same questions and the same agents' answers, so that their differences are paired.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

from bessemer.pipelines.consensus._acts import Act, Answered, History, Rules, Voted
from bessemer.pipelines.consensus._ballots import draw
from bessemer.pipelines.consensus._count import decide, force, still_needed, to_ask

OPTIONS = ("a", "b", "c", "d", "e")
PANELS = {
    "five alike": ((0.8, 1.0),) * 5,
    "five, one dear": ((0.9, 5.0), (0.75, 1.0), (0.75, 1.0), (0.75, 1.0), (0.75, 1.0)),
    "seven alike": ((0.7, 1.0),) * 7,
}
"""Accuracy and price of a turn, by agent."""
CASES = (
    *((panel, correlation, 5) for panel in PANELS for correlation in (0.0, 0.3)),
    ("five alike", 0.6, 5),
    ("seven alike", 0.6, 5),
    ("seven alike", 0.0, 2),
)
"""Panel, correlation and options. The policy's own model lies between 0.0 and 0.6, with as many ways to be wrong."""
TOLERANCES = {"sequential, 0.5 points": 0.005, "sequential, 2 points": 0.02}
WAYS = ("best alone", "plain majority", "fast", "thrifty", *TOLERANCES)
Z = NormalDist().inv_cdf(0.975)


class Agent(NamedTuple):
    accuracy: float
    price: float


class Played(NamedTuple):
    right: bool
    cost: float


class Question:
    """One question, and what every agent says to it in every round, whoever is asked first."""

    def __init__(self, seed: int, number: int, agents: Sequence[Agent], correlation: float, options: int = 5) -> None:
        self._name = f"{seed}/{number}"
        chance = random.Random(self._name)
        # The protocol's last resort is the smaller content hash: the right answer has it as often as any other.
        self.right, *self._wrong = chance.sample(OPTIONS[:options], options)
        self._trap = chance.choice(self._wrong) if chance.random() < correlation else ""
        self.agents = {f"a{n}": agent for n, agent in enumerate(agents)}

    def chance(self, what: str) -> random.Random:
        return random.Random(f"{self._name}/{what}")

    def known(self, name: str, number: int = 1) -> str:
        """What an agent takes for right in a round."""
        chance = self.chance(f"{name}/{number}")
        if chance.random() < self.agents[name].accuracy:
            return self.right
        return self._trap or chance.choice(self._wrong)

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
    if way in TOLERANCES:
        known = {name: one.accuracy for name, one in panel.items()}
        seed = question.chance("lot").getrandbits(48)
        rules = Rules(policy="sequential", tolerance=TOLERANCES[way], accuracies=known, seed=seed)
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
            return Played(decision.answer == question.right, cost)
    return Played(force(history, rules, 3).answer == question.right, cost)


def ask(question: Question, way: str) -> Played:
    """One question, one of the ways."""
    panel = question.agents
    if way == "best alone":
        best = max(panel, key=lambda name: panel[name].accuracy)
        return Played(question.known(best) == question.right, panel[best].price)
    if way != "plain majority":
        return play(question, way)
    answers = [question.known(name) for name in panel]
    most = max(answers.count(one) for one in answers)
    tied = sorted({one for one in answers if answers.count(one) == most})
    right = question.chance("tie").choice(tied) == question.right
    return Played(right, sum(one.price for one in panel.values()))


def measure(name: str, correlation: float, options: int, questions: int, seed: int) -> list[dict[str, object]]:
    """One panel under every way of asking, each beside one answer of everybody."""
    agents = [Agent(*one) for one in PANELS[name]]
    asked = [Question(seed, number, agents, correlation, options) for number in range(questions)]
    everybody = sum(one.price for one in agents)
    played = {way: [ask(question, way) for question in asked] for way in WAYS}
    rows: list[dict[str, object]] = []
    for way, results in played.items():
        share, low, high = wilson(sum(one.right for one in results), questions)
        pairs = zip(results, played["plain majority"], strict=True)
        cost = fmean(one.cost for one in results)
        rows.append(
            {
                "panel": name,
                "correlation": correlation,
                "options": options,
                "asked": way,
                "accuracy": round(share, 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "points_from_majority": [round(100 * one, 2) for one in paired([a.right - b.right for a, b in pairs])],
                "cost": round(cost, 3),
                "cost_per_right": round(cost / share, 3),
                "of_always_everybody": round(cost / everybody, 3),
            }
        )
    return rows


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(right: int, n: int) -> Interval:
    """A share by Wilson's score."""
    share = right / n
    middle, half = share + Z * Z / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return Interval(share, (middle - half) / (1 + Z * Z / n), (middle + half) / (1 + Z * Z / n))


def paired(differences: Sequence[int]) -> Interval:
    """The mean of paired differences."""
    mean = fmean(differences)
    half = Z * stdev(differences) / math.sqrt(len(differences))
    return Interval(mean, mean - half, mean + half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    panels = [(*case, given.questions, given.seed) for case in CASES]
    with ProcessPoolExecutor() as pool:
        for rows in pool.map(measure, *zip(*panels, strict=True)):
            for row in rows:
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
