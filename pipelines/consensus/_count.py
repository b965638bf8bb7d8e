"""Counting: which votes hold, who is the electorate, and what the rule makes of it. Pure and independent of order.

A round's votes are counted against the answers that stood when the round began, so that what one agent does in a round
cannot undo what another did in the same round, whoever came first. A vote of an earlier round holds as long as every
answer it was shown still stands. Agents that wrote the same answer, each by itself, vote for it with that.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from bessemer.pipelines.consensus._acts import (
    Answered,
    Failed,
    History,
    Rules,
    Scored,
    Voted,
    act_of,
    dropped_agents,
    latest,
    standing_answers,
)
from bessemer.pipelines.consensus._schulze import schulze_winners
from bessemer.pipelines.consensus._sequential import confident, fewest_to_confidence

LAST_ROUND = 3
How = Literal[
    "majority", "weighted", "ranked", "unanimous", "agreement", "score", "only_answer", "posterior", "forced", "none"
]
TieBreak = Literal["", "score", "hash", "first_submitted"]
VoteState = Literal["counted", "stale", "own_answer", "not_shown", "empty"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Count(NamedTuple):
    """The votes of one moment."""

    votes: dict[str, int]
    """Weight by hash; only hashes with a vote."""
    voters: dict[str, str]
    """Counted voters, with the hash each stands for."""
    agreeing: tuple[str, ...]
    """Of these, agents that voted by having written the same answer."""
    states: dict[str, VoteState]
    """What became of the newest vote of every agent that cast one."""
    electorate: tuple[str, ...]
    weight: int
    """Of the whole electorate."""
    quorum: int

    @property
    def leaders(self) -> tuple[str, ...]:
        """Hashes with the most weight, by hash."""
        most = max(self.votes.values(), default=0)
        return tuple(sorted(one for one, votes in self.votes.items() if votes == most))


class Decision(_Frozen):
    """What the panel decided, and how."""

    answer: str
    """Content hash; empty where there is no answer at all."""
    how: How
    round: int
    votes: int
    """Agents that stand for it."""
    electorate: int
    counted: int
    """Agents whose vote counts at all."""
    quorum: int
    forced: bool = False
    """Decided because rounds, time or money ran out, not because the rule was met."""
    tie_broken_by: TieBreak = ""
    error: float | None = None
    """Estimated chance that it is wrong; None where the policy estimates none."""


def count(history: History, rules: Rules, number: int) -> Count:
    """Count the votes of round `number` with the acts there are so far. Not to be changed."""
    known = history.counted.get(number)
    if known is None or known[0] is not rules:
        known = history.counted[number] = (rules, _counted(history, rules, number))
    return known[1]


def _counted(history: History, rules: Rules, number: int) -> Count:
    before = {one.answer for one in standing_answers(history, number - 1).values()}
    states: dict[str, VoteState] = {}
    voters: dict[str, str] = {}
    agreeing: list[str] = []
    for agent in history.panel:
        act = latest(history, agent, number)
        if isinstance(act, Voted):
            states[agent] = vote_state(history, act, before)
            if states[agent] == "counted":
                voters[agent] = act.target
        elif isinstance(act, Answered) and _shared(history, act, number):
            voters[agent] = act.answer
            agreeing.append(agent)
    votes: dict[str, int] = {}
    for agent, target in voters.items():
        votes[target] = votes.get(target, 0) + rules.weight_of(agent)
    gone = dropped_agents(history, number) - voters.keys()
    electorate = tuple(agent for agent in history.panel if agent not in gone)
    return Count(
        votes=votes,
        voters=voters,
        agreeing=tuple(agreeing),
        states=states,
        electorate=electorate,
        weight=sum(rules.weight_of(agent) for agent in electorate),
        quorum=rules.quorum_of(len(history.panel)),
    )


def vote_state(history: History, vote: Voted, standing: set[str]) -> VoteState:
    """Whether a vote counts while the answers `standing` stand."""
    if not vote.target:
        return "empty"
    if vote.target not in vote.shown:
        return "not_shown"
    if not _has_other_author(history, vote.agent, vote.target):
        return "own_answer"
    return "counted" if set(vote.shown) <= standing else "stale"


def decide(history: History, rules: Rules, number: int) -> Decision | None:
    """The decision, once the rule is met; with `majority` and `weighted` also in the middle of a round.

    Strict majorities of the whole electorate cannot be overtaken by whoever has not been heard yet, so that deciding
    early and deciding with all acts give the same.
    """
    found = count(history, rules, number)
    if scored := _by_scores(history, found, number):
        return scored
    majority = _majority(found)
    if rules.policy == "sequential" and not majority and (early := _confident(history, rules, found, number)):
        return early
    if len(found.voters) < found.quorum or not found.electorate:
        return None
    complete = _is_complete(history, rules, number)
    if rules.policy == "massgen":
        winner = _most_of_the_valid(found) if complete else ""
    elif rules.rule == "ranked":
        return _ranked(history, rules, number, found) if complete else None
    elif rules.rule == "unanimous":
        # Whoever wrote the answer stands for it until they vote otherwise, which they may do last.
        winner = _unanimous(history, found) if complete else ""
    else:
        winner = majority
    if not winner:
        return None
    for_it = {agent for agent, target in found.voters.items() if target == winner}
    how: How = "agreement" if for_it <= set(found.agreeing) else rules.rule
    return _decision(found, winner, how, number)


def force(history: History, rules: Rules, number: int) -> Decision:
    """Decide whatever there is: votes, then checklist score, then content hash; `massgen`: votes, then first submitted.

    With no answer at all the decision is `none`.
    """
    found = count(history, rules, number)
    answers = standing_answers(history, number)
    candidates = {one.answer for one in answers.values()} | found.votes.keys()
    if not candidates:
        return _decision(found, "", "none", number).model_copy(update={"forced": True})
    most = max(found.votes.get(one, 0) for one in candidates)
    tied = {one for one in candidates if found.votes.get(one, 0) == most}
    if len(candidates) == 1:
        alone = len(history.panel) == 1
        return _decision(found, next(iter(candidates)), "only_answer", number).model_copy(update={"forced": not alone})
    winner, tie = _first_submitted(history, tied) if rules.policy == "massgen" else break_tie(history, tied)
    return _decision(found, winner, "forced", number).model_copy(update={"forced": True, "tie_broken_by": tie})


def break_tie(history: History, tied: set[str]) -> tuple[str, TieBreak]:
    """The declared rule: the higher mean checklist score of others, then the smaller hash."""
    if len(tied) == 1:
        return next(iter(tied)), ""
    scores = {one: score_of(history, one) for one in tied}
    best = max((score for score in scores.values() if score is not None), default=None)
    at_best = {one for one in tied if scores[one] == best}
    if best is not None and len(at_best) == 1:
        return at_best.pop(), "score"
    return min(at_best or tied), "hash"


def score_of(history: History, answer: str) -> Fraction | None:
    """Mean checklist score of an answer in points, by agents that did not write it; None where nobody scored it."""
    newest = []
    for agent in history.panel:
        if _wrote(history, agent, answer):
            continue
        acts = (act_of(history, agent, number) for number in range(LAST_ROUND, 0, -1))
        rated = (act.ratings[answer] for act in acts if isinstance(act, Voted | Scored) and answer in act.ratings)
        newest += list(itertools.islice(rated, 1))
    return Fraction(sum(newest), 100 * len(newest)) if newest else None


def is_duel(history: History, number: int) -> bool:
    """Whether two agents with different answers are left to score each other's: they could never agree by voting."""
    answers = standing_answers(history, number - 1)
    return len(history.panel) == 2 and number > 1 and len({one.answer for one in answers.values()}) == 2


def replay(history: History, rules: Rules) -> Decision:
    """The outcome of a whole history, round by round as it came about; forced where its rounds end undecided."""
    last = min(max((act.round for act in history.acts), default=1), rules.max_rounds)
    for number in range(1, last + 1):
        known = history.upto(number)
        if (decision := decide(known, rules, number)) is not None:
            return decision
    return force(history.upto(last), rules, last)


def to_ask(history: History, rules: Rules, number: int) -> tuple[str, ...]:
    """Who is asked in round `number`: agents without a vote that holds, if another's answer is there to vote for."""
    answers = standing_answers(history, number - 1)
    gone = dropped_agents(history, number)
    heard = count(history, rules, number).voters if number > 1 else {}
    asked = []
    for agent in history.panel:
        last = latest(history, agent, number - 1)
        if agent in gone or agent in heard or (isinstance(last, Failed) and last.final):
            continue
        others = {one.answer for one in answers.values()} - {answers[agent].answer if agent in answers else ""}
        if number == 1 or others or agent not in answers:
            asked.append(agent)
    return tuple(asked)


def still_needed(history: History, rules: Rules, number: int) -> int:
    """How many more votes the leader needs at least for a decision; fewer turns cannot decide the round."""
    found = count(history, rules, number)
    if rules.policy == "massgen" or rules.rule in ("ranked", "unanimous"):
        return len(history.panel)
    votes = dict(found.votes)
    if number == 1:
        # An answer nobody else has written yet is no vote, but the next equal one makes it two.
        votes = {}
        for agent, one in standing_answers(history, 1).items():
            votes[one.answer] = votes.get(one.answer, 0) + rules.weight_of(agent)
    lead = max(votes.values(), default=0)
    heaviest = max((rules.weight_of(agent) for agent in found.electorate), default=1) or 1
    lacking = -(-(found.weight // 2 + 1 - lead) // heaviest)
    if rules.policy == "sequential":
        beliefs, asked = stands_for(history, found, number), not_heard(history, rules, number)
        left = asked if number == 1 else set[str]()
        return fewest_to_confidence(beliefs, rules, found.quorum, asked, left, max(lacking, 1))
    return max(lacking, 1)


def stands_for(history: History, found: Count, number: int) -> dict[str, str]:
    """What each agent of the electorate stands for: its vote that counts, else its own answer."""
    own = {agent: one.answer for agent, one in standing_answers(history, number).items()}
    return {agent: answer for agent, answer in {**own, **found.voters}.items() if agent in found.electorate}


def not_heard(history: History, rules: Rules, number: int) -> set[str]:
    """Agents that are to act in the round and did not yet."""
    return set(to_ask(history, rules, number)) - {act.agent for act in history.acts if act.round == number}


def _confident(history: History, rules: Rules, found: Count, number: int) -> Decision | None:
    beliefs = stands_for(history, found, number)
    # In later rounds agents change their minds, of which there is no model: only an error within the tolerance counts.
    left = not_heard(history, rules, number) if number == 1 else set[str]()
    leader = confident(beliefs, rules, found.quorum, left)
    if leader is None:
        return None
    about = {"votes": leader.votes, "counted": len(beliefs), "error": round(leader.error, 4)}
    return _decision(found, leader.answer, "posterior", number).model_copy(update=about)


def _decision(found: Count, winner: str, how: How, number: int) -> Decision:
    return Decision(
        answer=winner,
        how=how,
        round=number,
        votes=sum(target == winner for target in found.voters.values()),
        electorate=len(found.electorate),
        counted=len(found.voters),
        quorum=found.quorum,
    )


def _by_scores(history: History, found: Count, number: int) -> Decision | None:
    """Of two agents that scored each other's answer, the one with the higher score."""
    scored = [act_of(history, agent, number) for agent in history.panel]
    if len(history.panel) != 2 or not all(isinstance(act, Scored) for act in scored):
        return None
    answers = {one.answer for one in standing_answers(history, number - 1).values()}
    if len(answers) != 2 or any(score_of(history, one) is None for one in answers):
        return None
    winner, tie = break_tie(history, answers)
    return _decision(found, winner, "score", number).model_copy(
        update={"tie_broken_by": "" if tie == "score" else tie, "counted": 2}
    )


def _shared(history: History, act: Answered, number: int) -> bool:
    """Whether another agent wrote the same: an answer that stood before the round or, for one of the round, in it.

    An older answer is not looked up in the round itself, because its author may still be heard in it.
    """
    sides = [standing_answers(history, number - 1)]
    if act.round == number:
        sides.append(standing_answers(history, number))
    return act.answer in [side[agent].answer for side in sides for agent in side if agent != act.agent]


def _wrote(history: History, agent: str, answer: str) -> bool:
    return any(isinstance(act, Answered) and act.agent == agent and act.answer == answer for act in history.acts)


def _has_other_author(history: History, agent: str, answer: str) -> bool:
    return any(isinstance(act, Answered) and act.agent != agent and act.answer == answer for act in history.acts)


def _is_complete(history: History, rules: Rules, number: int) -> bool:
    acted = {act.agent for act in history.acts if act.round == number}
    return set(to_ask(history, rules, number)) <= acted


def _majority(found: Count) -> str:
    """The answer with more than half of the electorate's weight, or nothing."""
    return next((one for one, votes in found.votes.items() if 2 * votes > found.weight), "")


def _most_of_the_valid(found: Count) -> str:
    valid = sum(found.votes.values())
    return next((one for one, votes in found.votes.items() if 2 * votes > valid), "")


def _unanimous(history: History, found: Count) -> str:
    """The answer that everybody who did not write it stands for."""
    if len(found.votes) != 1:
        return ""
    only = next(iter(found.votes))
    others = [agent for agent in found.electorate if agent not in found.voters]
    return only if all(_wrote(history, agent, only) for agent in others) else ""


def _first_submitted(history: History, tied: set[str]) -> tuple[str, TieBreak]:
    first = {one: min(_orders(history, one), default=0) for one in tied}
    return min(tied, key=lambda one: (first[one], one)), "first_submitted" if len(tied) > 1 else ""


def _orders(history: History, answer: str) -> list[int]:
    return [act.order for act in history.acts if isinstance(act, Answered) and act.answer == answer]


def _ranked(history: History, rules: Rules, number: int, found: Count) -> Decision | None:
    ballots = []
    standing = {one.answer for one in standing_answers(history, number).values()}
    for agent, target in found.voters.items():
        act = latest(history, agent, number)
        if isinstance(act, Voted):
            shown = [one for one in act.shown if not _wrote(history, agent, one)]
            order = [one for one in dict.fromkeys((*act.ranking, target)) if one in shown] or [target]
            ballots.append((tuple(order), tuple(one for one in shown if one not in order)))
        else:
            ballots.append(((target,), tuple(sorted(standing - {target}))))
    winners = schulze_winners(ballots)
    if not winners:
        return None
    winner, tie = break_tie(history, winners)
    return _decision(found, winner, "ranked", number).model_copy(update={"tie_broken_by": tie})
