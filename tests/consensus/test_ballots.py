"""What an agent is shown: others' answers without names, in an order of its own, and what the user wants looked at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bessemer.pipelines.consensus._acts import Answered, History, Rules, Voted
from bessemer.pipelines.consensus._ballots import MOST_SHOWN, draw
from bessemer.pipelines.consensus._count import decide
from bessemer.pipelines.consensus._material import _wording
from bessemer.pipelines.consensus._plan import ConsensusPlan

RULES = Rules()


def answers(size: int) -> History:
    """A panel after its first round, each with an answer of its own."""
    panel = tuple(f"agent-{n}" for n in range(1, size + 1))
    acts = tuple(Answered(agent=agent, round=1, answer=f"hash-of-{agent}") for agent in panel)
    return History(panel=panel, acts=acts)


def test_nobody_is_shown_their_own_answer_or_a_name() -> None:
    history = answers(5)
    for agent in history.panel:
        ballot = draw(history, RULES, agent, 2, seed=1)
        assert set(ballot.shown) == {f"hash-of-{other}" for other in history.panel if other != agent}
        assert list(ballot.labels) == ["answer-1", "answer-2", "answer-3", "answer-4"]
        assert ballot.own == f"hash-of-{agent}"


def test_the_order_is_each_readers_own_and_comes_again_on_replay() -> None:
    """A place in the list must favour no answer: over many draws each stands first as often as any other."""
    history = answers(5)
    firsts = Counter(draw(history, RULES, "agent-1", 2, seed).shown[0] for seed in range(2000))
    assert set(firsts) == {f"hash-of-agent-{n}" for n in range(2, 6)}
    assert all(400 < times < 600 for times in firsts.values())
    same = [draw(history, RULES, "agent-1", 2, seed=9) for _ in range(3)]
    assert same[0] == same[1] == same[2]
    orders = {agent: draw(history, RULES, agent, 2, seed=9).shown for agent in history.panel}
    places = [orders[reader].index("hash-of-agent-1") for reader in history.panel[1:]]
    assert len(set(places)) > 1, "readers see one answer in different places"


def test_equal_answers_are_shown_once() -> None:
    history = answers(4)
    same = tuple(act.model_copy(update={"answer": "same"}) for act in history.acts[:3])
    ballot = draw(history.model_copy(update={"acts": (*same, history.acts[3])}), RULES, "agent-4", 2, seed=1)
    assert ballot.shown == ("same",)


def test_many_answers_are_read_in_turns() -> None:
    history = answers(20)
    ballots = [draw(history, RULES, agent, 2, seed=1) for agent in history.panel]
    assert {len(ballot.shown) for ballot in ballots} == {MOST_SHOWN}


def votes(history: History, target: str, *agents: str) -> History:
    for agent in agents:
        shown = draw(history, RULES, agent, 2, seed=1).shown
        history = history.adding(Voted(agent=agent, round=2, shown=shown, target=target))
    return history


def test_a_quorum_that_is_not_reached_decides_nothing() -> None:
    history = votes(answers(5), "hash-of-agent-1", "agent-2", "agent-3", "agent-4")
    decided = decide(history, Rules(quorum=3), 2)
    assert decided is not None
    assert decided.answer == "hash-of-agent-1"
    assert decide(history, Rules(quorum=4), 2) is None
    assert decide(votes(history, "hash-of-agent-1", "agent-5"), Rules(quorum=4), 2) is not None


def test_what_the_user_wants_looked_at_stands_in_every_prompt(tmp_path: Path) -> None:
    plan = ConsensusPlan(
        task="Choose a name.", backends=("scripted/a",), focus="How it sounds aloud.", context="No acronyms."
    )
    shared = _wording(plan, tmp_path, "token").prefix
    assert "Choose a name." in shared
    assert shared.index("How it sounds aloud.") > shared.index("Look at this above all")
    assert "No acronyms." in shared
    plain = _wording(plan.model_copy(update={"focus": ""}), tmp_path, "token").prefix
    assert "Look at this above all" not in plain
