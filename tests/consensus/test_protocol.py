"""The protocol: saved histories replay to the same outcome, whatever the order of arrival and the agents' names."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bessemer.pipelines.consensus._acts import (
    Abstained,
    Act,
    Answered,
    Failed,
    History,
    Policy,
    Rules,
    Scored,
    Voted,
    standing_answers,
)
from bessemer.pipelines.consensus._ballots import MOST_SHOWN, draw
from bessemer.pipelines.consensus._count import decide, is_duel, replay, still_needed, to_ask

SAVED = sorted((Path(__file__).parent.parent / "data" / "consensus").glob("*.json"))
RULES = ("majority", "weighted", "ranked", "unanimous")


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_saved_history_replays_to_its_outcome(path: Path) -> None:
    saved = json.loads(path.read_text())
    history, rules = History.model_validate(saved["history"]), Rules.model_validate(saved["rules"])
    generator = random.Random(path.stem)
    for _ in range(5):
        found = replay(history, rules).model_dump()
        assert {key: found[key] for key in saved["expect"]} == saved["expect"], saved["what"]
        acts = list(history.acts)
        generator.shuffle(acts)
        history = history.model_copy(update={"acts": tuple(acts)})


def _game(generator: random.Random, size: int, rules: Rules) -> History:
    """A history as the pipeline could make it: only agents that are to be asked act, and only once a round."""
    history = History(panel=tuple(f"agent-{n}" for n in range(size)))
    contents = [f"{generator.getrandbits(64):016x}" for _ in range(size + 3)]
    for number in range(1, rules.max_rounds + 1):
        before = history
        for agent in to_ask(before, rules, number):
            history = history.adding(_turn(generator, before, rules, agent, number, contents))
            if rules.policy == "sequential" and decide(history, rules, number) is not None:
                return history
        if decide(history, rules, number) is not None:
            break
    return history


def _turn(
    generator: random.Random, history: History, rules: Rules, agent: str, number: int, contents: list[str]
) -> Act:
    ballot = draw(history, rules, agent, number, 7)
    labelled = list(ballot.labels.values())
    choice = generator.random()
    if choice < 0.1:
        return Failed(agent=agent, round=number, failure="timeout", final=choice < 0.03)
    if choice < 0.2:
        return Abstained(agent=agent, round=number)
    if not labelled or choice < 0.35:
        return Answered(agent=agent, round=number, answer=generator.choice(contents), order=generator.getrandbits(20))
    if is_duel(history, number):
        return Scored(agent=agent, round=number, ratings={labelled[0]: generator.choice((500, 600, 700))})
    generator.shuffle(labelled)
    ratings = {one: 100 * generator.randint(1, 10) for one in labelled if generator.random() < 0.7}
    return Voted(
        agent=agent, round=number, shown=ballot.shown, target=labelled[0], ranking=tuple(labelled), ratings=ratings
    )


games = st.tuples(st.integers(0, 10**9), st.integers(1, 9), st.sampled_from(RULES), st.sampled_from((None, 1, 2)))


def _setup(
    seed: int, size: int, rule: str, quorum: int | None, policy: Policy = "default"
) -> tuple[random.Random, Rules]:
    generator = random.Random(seed)
    panel = [f"agent-{n}" for n in range(size)]
    weights = {agent: generator.randint(200, 2000) for agent in panel}
    # Few values, so that different sums of them are often as good as equal.
    accuracies = {agent: generator.choice((0.3, 0.6, 0.7, 0.75, 0.9)) for agent in panel if policy == "sequential"}
    about = {"rule": rule, "quorum": quorum, "policy": policy, "weights": weights, "accuracies": accuracies}
    return generator, Rules.model_validate(about)


@given(seed=st.integers(0, 10**6), size=st.integers(2, 5))
def test_what_was_counted_by_other_rules_or_earlier_changes_nothing(seed: int, size: int) -> None:
    generator = random.Random(seed)
    every = [Rules(rule=rule) for rule in RULES]
    history = _game(generator, size, generator.choice(every))
    for number in (1, 2, 3):
        for rules in (*every, every[0], Rules(rule="weighted", weights={"agent-0": 900}), Rules(quorum=size)):
            fresh = History.model_validate(history.model_dump())
            assert decide(history, rules, number) == decide(fresh, rules, number)
    for number in (1, 2, 3):
        shorter = history.upto(number)
        assert decide(shorter, every[0], 3) == decide(History.model_validate(shorter.model_dump()), every[0], 3)


@given(games, st.sampled_from(("default", "sequential")))
@settings(max_examples=800, deadline=None)
def test_the_winner_depends_on_no_order_of_arrival_and_no_name(
    game: tuple[int, int, str, int | None], policy: Policy
) -> None:
    generator, rules = _setup(*game, policy)
    history = _game(generator, game[1], rules)
    decided = replay(history, rules)
    acts = list(history.acts)
    generator.shuffle(acts)
    assert replay(history.model_copy(update={"acts": tuple(acts)}), rules) == decided
    names = [f"name-{generator.getrandbits(30)}-{n}" for n in range(game[1])]
    called = dict(zip(history.panel, names, strict=True))
    panel = list(called.values())
    generator.shuffle(panel)
    renamed = History(panel=tuple(panel), acts=tuple(a.model_copy(update={"agent": called[a.agent]}) for a in acts))
    weights, accuracies = ({called[one]: x for one, x in of.items()} for of in (rules.weights, rules.accuracies))
    also = rules.model_copy(update={"weights": weights, "accuracies": accuracies})
    assert replay(renamed, also) == decided
    for number in (1, 2, 3):
        assert still_needed(renamed.upto(number), also, number) == still_needed(history.upto(number), rules, number)


@given(games)
@example((17553153, 3, "unanimous", None))
@settings(max_examples=500, deadline=None)
def test_whoever_was_not_heard_could_not_have_changed_an_early_decision(game: tuple[int, int, str, int | None]) -> None:
    generator, rules = _setup(*game)
    history = _game(generator, game[1], rules)
    last = max((act.round for act in history.acts), default=1)
    for number in range(1, last + 1):
        known = history.upto(number)
        acts = [act for act in known.acts if act.round == number]
        generator.shuffle(acts)
        for heard in range(len(acts)):
            partial = history.upto(number - 1).adding(*acts[:heard])
            early = decide(partial, rules, number)
            if early is not None:
                full = decide(known, rules, number)
                assert full is not None
                assert full.answer == early.answer


@given(st.integers(0, 10**9), st.integers(2, 9))
@settings(max_examples=100, deadline=None)
def test_fewer_votes_than_are_still_needed_decide_nothing(seed: int, size: int) -> None:
    generator, rules = _setup(seed, size, random.Random(seed).choice(("majority", "weighted")), None)
    history = _game(generator, size, rules)
    for number in range(1, max((act.round for act in history.acts), default=1) + 1):
        before = history.upto(number - 1)
        acts = [act for act in history.acts if act.round == number]
        generator.shuffle(acts)
        few = before.adding(*acts[: max(still_needed(before, rules, number) - 1, 0)])
        if not is_duel(history, number):
            assert decide(few, rules, number) is None


@given(st.integers(0, 10**6), st.integers(2, 40))
@settings(max_examples=50, deadline=None)
def test_nobody_reads_more_than_a_few_answers_and_every_answer_is_read(seed: int, size: int) -> None:
    panel = tuple(f"agent-{n}" for n in range(size))
    acts = tuple(Answered(agent=one, round=1, answer=f"{n:04}") for n, one in enumerate(panel))
    history = History(panel=panel, acts=acts)
    ballots = {one: draw(history, Rules(), one, 2, seed) for one in panel}
    assert all(len(ballot.labels) == min(size - 1, MOST_SHOWN) for ballot in ballots.values())
    assert all(ballot.own not in ballot.shown for ballot in ballots.values())
    assert {one for ballot in ballots.values() for one in ballot.shown} == {act.answer for act in acts}
    assert draw(history, Rules(), panel[0], 2, seed) == ballots[panel[0]]


def test_a_panel_names_each_agent_once_and_knows_who_acts() -> None:
    with pytest.raises(ValueError, match="twice"):
        History(panel=("a", "a"))
    with pytest.raises(ValueError, match="not on the panel"):
        History(panel=("a",), acts=(Abstained(agent="b", round=1),))


def test_what_was_looked_up_in_a_history_does_not_pass_to_a_longer_one() -> None:
    history = History(panel=("a", "b"), acts=(Answered(agent="a", round=1, answer="x"),))
    assert set(standing_answers(history, 1)) == {"a"}
    assert set(standing_answers(history.adding(Answered(agent="b", round=1, answer="y")), 1)) == {"a", "b"}
    assert standing_answers(history.upto(0), 1) == {}
