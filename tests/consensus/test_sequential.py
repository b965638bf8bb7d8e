"""Stopping below a majority: the model of agents is one of probabilities, and no more is lost than is allowed."""

from __future__ import annotations

import functools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bessemer.pipelines.consensus._acts import Act, Answered, Dropped, Failed, History, Rules, Voted
from bessemer.pipelines.consensus._count import decide, still_needed
from bessemer.pipelines.consensus._posterior import Groups, by_answer, heard_next, odds, posterior, surest_after
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
        if not beliefs or _leader(beliefs, rules).votes < quorum:
            return then
        chance = _chance_to_take(beliefs, rules, _leader(beliefs, rules), left)
        loss = surest_after(now, tuple(sorted(named[one] for one in left))) - odds(now).surest
        assert chance == 0 or loss <= LARGEST_LOSS * tolerance + 1e-12
        return chance * loss + (1 - chance) * then

    assert lost({}) <= tolerance + 1e-9


@pytest.mark.parametrize(("answers", "left"), [(1, 5), (1, 6), (2, 5), (3, 4), (10, 4), (19, 2), (19, 10)])
def test_what_may_be_heard_is_looked_ahead_within_bounds(answers: int, left: int) -> None:
    """With an accuracy of its own for every agent, so that no two futures are alike."""
    panel = {f"agent-{n}": 0.6 + n / 100 for n in range(answers + 1 + left)}
    names = list(panel)
    said = {agent: f"answer-{max(n, 1)}" for n, agent in enumerate(names[: answers + 1])}
    rules = Rules(policy="sequential", tolerance=0.3, accuracies=panel)
    before = odds.cache_info().misses
    _chance_to_take(said, rules, _leader(said, rules), names[answers + 1 :])
    assert odds.cache_info().misses - before < 2 * MOST_FUTURES


@pytest.mark.parametrize(("size", "accuracy"), [(9, 0.7), (15, 0.6), (20, 0.55), (25, 0.7)])
def test_the_tolerance_holds_for_panels_too_large_to_look_ahead(size: int, accuracy: float) -> None:
    named = {f"agent-{n}": accuracy for n in range(size)}
    rules = Rules(policy="sequential", accuracies=named)

    @functools.cache
    def lost(groups: Groups) -> float:
        heard = sum(len(group) for group in groups)
        if heard == size:
            return 0.0
        then = math.fsum(chance * lost(more) for more, chance in heard_next(groups, accuracy))
        agents = iter(named)
        beliefs = {next(agents): f"answer-{n}" for n, group in enumerate(groups) for _ in group}
        if heard < 2 or _leader(beliefs, rules).votes < 2:
            return then
        chance = _chance_to_take(beliefs, rules, _leader(beliefs, rules), set(agents))
        return chance * (surest_after(groups, (accuracy,) * (size - heard)) - odds(groups).surest) + (1 - chance) * then

    assert lost(()) <= rules.tolerance


def test_from_the_second_round_only_an_error_within_the_tolerance_decides() -> None:
    panel = tuple("abcdefg")
    rules = Rules(policy="sequential", accuracies=dict.fromkeys(panel, 0.8))
    acts: list[Act] = [Answered(agent=a, round=1, answer=x) for a, x in zip("abcdef", "xxyyzw", strict=True)]
    history = History(panel=panel, acts=(*acts, Failed(agent="g", round=1, failure="auth", final=True)))
    assert decide(history, rules, 1) is None
    moved = Voted(agent="e", round=2, shown=("w", "x", "y"), target="x", ranking=("x",))
    assert decide(history.adding(moved), rules, 2) is None


def test_a_majority_decides_before_an_estimate_does() -> None:
    panel = tuple("abcde")
    rules = Rules(policy="sequential", accuracies=dict(zip(panel, (0.95, 0.95, 0.55, 0.55, 0.55), strict=True)))
    said = tuple(Answered(agent=a, round=1, answer=x) for a, x in zip(panel, "xxyyy", strict=True))
    decision = decide(History(panel=panel, acts=said), rules, 1)
    assert decision is not None
    assert (decision.answer, decision.how) == ("y", "agreement")


def test_who_was_dropped_stands_for_nothing() -> None:
    panel = tuple("abcdefg")
    rules = Rules(policy="sequential", accuracies=dict.fromkeys(panel, 0.98))
    said: list[Act] = [Answered(agent=a, round=1, answer=a) for a in panel]
    gone = [Dropped(agent=a, round=2) for a in "cde"]
    votes = [Voted(agent=a, round=2, shown=("c",), target="c", ranking=("c",)) for a in "ab"]
    decision = decide(History(panel=panel, acts=(*said, *gone, *votes)), rules, 2)
    assert decision is not None
    assert decision.how == "posterior"
    assert (decision.votes, decision.counted, decision.electorate) == (2, 4, 4)


def test_everything_that_may_be_heard_next_has_probability_one_together() -> None:
    now = ((0.6, 0.8), (0.7,))
    then = [((0.6, 0.7, 0.8), (0.7,)), ((0.6, 0.8), (0.7, 0.7)), ((0.6, 0.8), (0.7,), (0.7,))]
    assert sum(math.exp(odds(one).together - odds(now).together) for one in then) == pytest.approx(1)


def test_of_leaders_with_which_more_is_lost_the_seed_takes_the_share_that_keeps_the_mean() -> None:
    beliefs = {"a": "x", "b": "x"}
    panel = dict.fromkeys("abcdefg", 0.7)
    rules = Rules(policy="sequential", accuracies=panel)
    chance = _chance_to_take(beliefs, rules, _leader(beliefs, rules), set("cdefg"))
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
