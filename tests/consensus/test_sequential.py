"""Stopping below a majority: the model of agents is one of probabilities, and no more is lost than is allowed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bessemer.pipelines.consensus._acts import Answered, History, Rules
from bessemer.pipelines.consensus._count import decide, still_needed
from bessemer.pipelines.consensus._posterior import by_answer, odds, posterior, surest_after
from bessemer.pipelines.consensus._sequential import LARGEST_LOSS, MOST_FUTURES, _chance_to_take, _leader, confident

accuracies = st.sampled_from((0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95))


@given(st.lists(st.sampled_from("xyz"), min_size=1, max_size=9), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_an_estimate_is_a_probability_and_one_more_for_the_leader_never_lowers_it(said: list[str], seed: int) -> None:
    generator = random.Random(seed)
    beliefs = {f"agent-{n}": answer for n, answer in enumerate(said)}
    known = {agent: generator.choice((0.0, 0.3, 0.5, 0.8, 0.95, 1.0)) for agent in beliefs}
    likely = posterior(beliefs, known)
    assert all(0 <= one <= 1 for one in likely.values())
    assert sum(likely.values()) <= 1 + 1e-9
    shuffled = dict(generator.sample(sorted(beliefs.items()), len(beliefs)))
    assert posterior(shuffled, known) == likely
    leader = max(likely, key=lambda one: likely[one])
    more = posterior({**beliefs, "late": leader}, {**known, "late": 0.7})
    assert more[leader] >= likely[leader] - 1e-9


def test_an_estimate_is_bayes_rule() -> None:
    # Both right: 0.8 x 0.8; both wrong and alike: 0.2 x 0.2 x 0.5.
    assert posterior({"a": "x", "b": "x"}, {"a": 0.8, "b": 0.8})["x"] == pytest.approx(0.64 / 0.66)
    # One of two that differ is right, or both are wrong and, as in half of such cases, not alike.
    either = posterior({"a": "x", "b": "y"}, {"a": 0.9, "b": 0.6})
    assert either["x"] == pytest.approx(0.9 * 0.4 / (0.9 * 0.4 + 0.6 * 0.1 + 0.1 * 0.4 * 0.5))
    # A third that is wrong joins two that are wrong alike in four of five cases.
    three = posterior(dict.fromkeys("abc", "x"), dict.fromkeys("abc", 0.7))
    assert three["x"] == pytest.approx(0.343 / (0.343 + 0.027 * 0.5 * 0.8))


def test_a_large_panel_that_agrees_on_nothing_has_an_estimate_too() -> None:
    beliefs = {f"agent-{n}": f"answer-{n}" for n in range(400)}
    assert 0 < sum(posterior(beliefs, dict.fromkeys(beliefs, 0.02)).values()) < 1


@given(st.lists(accuracies, min_size=2, max_size=6), st.sampled_from((0.002, 0.015, 0.05)), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_on_average_no_more_than_the_tolerance_is_lost(panel: list[float], tolerance: float, quorum: int) -> None:
    """All that the model holds possible, each with its probability."""
    named = {f"agent-{n}": accuracy for n, accuracy in enumerate(panel)}
    rules = Rules(policy="sequential", tolerance=tolerance, accuracies=named)

    def lost(beliefs: dict[str, str]) -> float:
        left = [agent for agent in named if agent not in beliefs]
        if not left:
            return 0.0
        now = tuple(sorted(by_answer(beliefs, named).values()))
        then = 0.0
        for answer in {*beliefs.values(), f"new-{len(beliefs)}"}:
            more = {**beliefs, left[0]: answer}
            groups = tuple(sorted(by_answer(more, named).values()))
            then += math.exp(odds(groups).together - odds(now).together) * lost(more)
        if not beliefs or _leader(beliefs, rules).votes < quorum or _leader(beliefs, rules).error >= 0.5:
            return then
        accurate = tuple(sorted((named[one] for one in left), reverse=True))
        chance = _chance_to_take(beliefs, rules, _leader(beliefs, rules), accurate)
        loss = surest_after(now, accurate) - odds(now).surest
        assert chance == 0 or loss <= LARGEST_LOSS * tolerance + 1e-12
        return chance * loss + (1 - chance) * then

    assert lost({}) <= tolerance + 1e-9


def test_a_large_panel_that_disagrees_is_looked_ahead_within_bounds() -> None:
    panel = {f"agent-{n}": 0.6 + n / 100 for n in range(30)}
    said = {agent: f"answer-{max(n, 1)}" for n, agent in enumerate(list(panel)[:20])}
    before = odds.cache_info().misses
    confident(said, Rules(policy="sequential", accuracies=panel), 2, set(panel) - said.keys())
    confident(dict.fromkeys(said, "x"), Rules(policy="sequential", accuracies=panel), 2, set(panel) - said.keys())
    assert odds.cache_info().misses - before < 2 * (MOST_FUTURES + 1000)


def test_everything_that_may_be_heard_next_has_probability_one_together() -> None:
    now = ((0.6, 0.8), (0.7,))
    then = [((0.6, 0.7, 0.8), (0.7,)), ((0.6, 0.8), (0.7, 0.7)), ((0.6, 0.8), (0.7,), (0.7,))]
    assert sum(math.exp(odds(one).together - odds(now).together) for one in then) == pytest.approx(1)


def test_of_leaders_with_which_more_is_lost_the_seed_takes_the_share_that_keeps_the_mean() -> None:
    beliefs = {"a": "x", "b": "x"}
    panel = dict.fromkeys("abcdefg", 0.7)
    rules = Rules(policy="sequential", accuracies=panel)
    chance = _chance_to_take(beliefs, rules, _leader(beliefs, rules), (0.7,) * 5)
    assert 0.1 < chance < 0.9
    taken = [confident(beliefs, rules.model_copy(update={"seed": seed}), 2, set("cdefg")) for seed in range(4000)]
    assert sum(one is not None for one in taken) / len(taken) == pytest.approx(chance, abs=0.04)
    assert {one.answer for one in taken if one} == {"x"}


def test_a_panel_asks_no_more_than_could_be_enough() -> None:
    panel = tuple(f"agent-{n}" for n in range(5))
    rules = Rules(policy="sequential", accuracies=dict.fromkeys(panel, 0.8))
    history = History(panel=panel)
    assert still_needed(history, rules, 1) == 2
    history = history.adding(*(Answered(agent=one, round=1, answer=f"{n}") for n, one in enumerate(panel[:2])))
    assert decide(history, rules, 1) is None
    assert still_needed(history, rules, 1) == 2


def test_agents_without_a_record_decide_nothing_early_and_do_not_keep_others_from_it() -> None:
    panel = tuple("abcde")
    said = History(panel=panel, acts=tuple(Answered(agent=one, round=1, answer="x") for one in "ab"))
    nobody, some = Rules(policy="sequential"), Rules(policy="sequential", accuracies=dict.fromkeys("ab", 0.9))
    assert still_needed(History(panel=panel), nobody, 1) == 3
    assert decide(said, nobody, 1) is None
    assert decide(said, nobody.model_copy(update={"accuracies": {"a": 0.95}}), 1) is None
    decision = decide(said, some, 1)
    assert decision is not None
    assert decision.how == "posterior"
