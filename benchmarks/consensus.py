"""What deciding early is worth: agents of known accuracy and correlation play the protocol itself, without any calls.

    python -m benchmarks.consensus [--questions 4000] [--seed 1]

Each question has one right answer and four wrong ones. With probability `correlation` a question is misleading: then
whoever errs errs alike. An agent that reads others' answers votes for the right one, where it is shown, as often as it
would have known it; else for any. A turn costs what its agent costs. Compared are the best agent alone, one answer of
everybody with the most frequent taken, the protocol at full speed, and asking only as many as could decide (`thrifty`).
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from typing import NamedTuple

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


class Agent(NamedTuple):
    accuracy: float
    price: float


class Played(NamedTuple):
    right: bool
    cost: float


def _knows(generator: random.Random, agent: Agent, trap: str) -> str:
    if generator.random() < agent.accuracy:
        return RIGHT
    return trap or generator.choice(WRONG)


def _turn(generator: random.Random, history: History, rules: Rules, name: str, agent: Agent, trap: str, n: int) -> Act:
    if n == 1:
        return Answered(agent=name, round=1, answer=_knows(generator, agent, trap))
    ballot = draw(history, rules, name, n, 1)
    meant = _knows(generator, agent, trap)
    target = meant if meant in ballot.shown else generator.choice(ballot.shown)
    return Voted(agent=name, round=n, shown=ballot.shown, target=target, ranking=(target,))


def play(generator: random.Random, agents: Sequence[Agent], correlation: float, pace: str) -> Played:
    """One question."""
    trap = generator.choice(WRONG) if generator.random() < correlation else ""
    panel = {f"a{n}": agent for n, agent in enumerate(agents)}
    rules, history, cost = Rules(), History(panel=tuple(panel)), 0.0
    for number in (1, 2, 3):
        waiting = list(to_ask(history, rules, number))
        generator.shuffle(waiting)
        waiting.sort(key=lambda name: panel[name].price)
        began = history
        while waiting and decide(history, rules, number) is None:
            few = still_needed(history, rules, number) if pace == "thrifty" else len(waiting)
            for name in waiting[:few]:
                history = history.adding(_turn(generator, began, rules, name, panel[name], trap, number))
                cost += panel[name].price
            waiting = waiting[few:]
        if decision := decide(history, rules, number):
            return Played(decision.answer == RIGHT, cost)
    return Played(force(history, rules, 3).answer == RIGHT, cost)


def interval(right: int, n: int) -> tuple[float, float, float]:
    """Share and its 95 % Wilson interval."""
    z, share = 1.959964, right / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return share, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def measure(name: str, correlation: float, questions: int, seed: int) -> list[dict[str, object]]:
    """One panel under every way of asking, and its best agent alone."""
    agents = [Agent(*one) for one in PANELS[name]]
    best = max(agents, key=lambda one: one.accuracy)
    rows = []
    everybody = sum(one.price for one in agents)
    for pace in ("best alone", "plain majority", "fast", "thrifty"):
        generator = random.Random(seed)
        played = [_ask(generator, agents, best, correlation, pace, everybody) for _ in range(questions)]
        share, low, high = interval(sum(one.right for one in played), questions)
        cost = sum(one.cost for one in played) / questions
        rows.append(
            {
                "panel": name,
                "correlation": correlation,
                "asked": pace,
                "accuracy": round(share, 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "cost": round(cost, 3),
                "cost_per_right": round(cost / share, 3),
                "of_always_everybody": round(cost / everybody, 3),
            }
        )
    return rows


def _ask(
    generator: random.Random, agents: Sequence[Agent], best: Agent, correlation: float, pace: str, everybody: float
) -> Played:
    if pace in ("fast", "thrifty"):
        return play(generator, agents, correlation, pace)
    trap = generator.choice(WRONG) if generator.random() < correlation else ""
    if pace == "best alone":
        return Played(_knows(generator, best, trap) == RIGHT, best.price)
    answers = [_knows(generator, one, trap) for one in agents]
    most = max(answers.count(one) for one in answers)
    tied = sorted({one for one in answers if answers.count(one) == most})
    return Played(generator.choice(tied) == RIGHT, everybody)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name in PANELS:
        for correlation in CORRELATIONS:
            for row in measure(name, correlation, given.questions, given.seed):
                print(json.dumps(row))


if __name__ == "__main__":
    main()
