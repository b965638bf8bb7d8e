"""What agents do in a consensus, as values: answers by content hash, votes bound to what was shown, and silence.

Nothing here reads or waits. Names of agents only tell them apart; no rule orders by them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

RuleName = Literal["majority", "weighted", "ranked", "unanimous"]
Policy = Literal["default", "massgen", "sequential"]
EQUAL_WEIGHT = 1000
"""Weight of an agent whose agreement with outcomes was never measured."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Act(_Frozen):
    agent: str
    round: int = Field(ge=1)
    """The round in which the agent was asked, from 1."""


class Answered(_Act):
    """A new answer; it takes the place of the agent's older one from the next round on."""

    kind: Literal["answer"] = "answer"
    answer: str = Field(min_length=1)
    """Content hash."""
    order: int = 0
    """Number of the submission; read by the `massgen` policy only."""


class Voted(_Act):
    """A vote for content, among the contents that were shown."""

    kind: Literal["vote"] = "vote"
    shown: tuple[str, ...]
    """Content hashes of every answer that was shown, the voter's own not among them."""
    target: str
    ranking: tuple[str, ...] = ()
    """Hashes, the best first; empty ranks the target alone."""
    ratings: dict[str, int] = Field(default_factory=dict)
    """Checklist score by hash, in hundredths of a point."""


class Scored(_Act):
    """One of two agents has scored the other's answer, without knowing whose it is."""

    kind: Literal["score"] = "score"
    ratings: dict[str, int]
    """Checklist score by hash, in hundredths of a point: the mean of both orders of showing."""


class Abstained(_Act):
    """The agent was asked and chose nothing."""

    kind: Literal["abstain"] = "abstain"
    reason: str = ""


class Failed(_Act):
    """No usable reply: an error, a time-out, a refusal, a broken answer."""

    kind: Literal["failed"] = "failed"
    failure: str
    final: bool = False
    """Whether asking again is useless: a wrong key, an unknown model."""


class Dropped(_Act):
    """The panel was shrunk for money before this round. Without a counted vote the agent leaves the electorate."""

    kind: Literal["dropped"] = "dropped"


Act = Annotated[Answered | Voted | Scored | Abstained | Failed | Dropped, Field(discriminator="kind")]


class Rules(_Frozen):
    """How a panel decides."""

    rule: RuleName = "majority"
    quorum: int | None = Field(default=None, ge=1)
    """Fewest counted votes for a decision; None is more than half of the panel, and two for `sequential`."""
    max_rounds: int = Field(default=3, ge=1, le=3)
    policy: Policy = "default"
    """`massgen`: most valid votes, else the first submitted; its outcome may depend on the order of submission.
    `sequential`: also stops below a majority, once hearing everybody would hardly be right more often."""
    tolerance: float = Field(default=0.02, gt=0, lt=0.5)
    """For `sequential`: how much less often right it may be, on average, than the likeliest of one answer of each."""
    seed: int = 0
    """For `sequential`: decides the draws where stopping would lose more than the tolerance."""
    accuracies: dict[str, float] = Field(default_factory=dict)
    """By agent, for `sequential`: how often it is right, 0 to 1; who is not named has no record."""
    weights: dict[str, int] = Field(default_factory=dict)
    """By agent, for `weighted`; 1000 where an agent is not named."""

    def quorum_of(self, panel: int) -> int:
        if self.quorum is not None:
            return self.quorum
        return min(2, panel) if self.policy == "sequential" else panel // 2 + 1

    def weight_of(self, agent: str) -> int:
        return self.weights.get(agent, EQUAL_WEIGHT) if self.rule == "weighted" else 1


class History(_Frozen):
    """Everything that happened so far. The order of `acts` means nothing."""

    panel: tuple[str, ...] = Field(min_length=1)
    acts: tuple[Act, ...] = ()

    @model_validator(mode="after")
    def _knows_its_agents(self) -> History:
        if len(set(self.panel)) != len(self.panel):
            raise ValueError("names an agent twice; name each once")
        if strangers := {act.agent for act in self.acts} - set(self.panel):
            raise ValueError(f"has acts of {sorted(strangers)[0]!r}, who is not on the panel")
        return self

    def adding(self, *acts: Act) -> History:
        return self.model_copy(update={"acts": (*self.acts, *acts)})

    def upto(self, number: int) -> History:
        """What was known after round `number`."""
        return self.model_copy(update={"acts": tuple(act for act in self.acts if act.round <= number)})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> History:
        """A new history: a copy would bring along what was looked up in the acts before."""
        return History.model_construct(**{"panel": self.panel, "acts": self.acts, **(update or {})})

    @functools.cached_property
    def by_turn(self) -> dict[tuple[str, int], Act]:
        """What each agent did in each round, as `act_of` gives it."""
        found: dict[tuple[str, int], Act] = {}
        for act in self.acts:
            if isinstance(act, Dropped):
                continue
            turn = (act.agent, act.round)
            if found.setdefault(turn, act) != act:
                found[turn] = Failed(agent=act.agent, round=act.round, failure="several_acts")
        return found

    @functools.cached_property
    def standing(self) -> dict[int, dict[str, Answered]]:
        """Filled by `standing_answers`, by round."""
        return {}

    @functools.cached_property
    def counted(self) -> dict[int, tuple[Rules, Any]]:
        """Filled by `count`, by round: the rules that votes were counted by, and the `Count`."""
        return {}


def act_of(history: History, agent: str, number: int) -> Act | None:
    """What an agent did in a round; None where it did nothing. Two different acts in one round are a failure."""
    return history.by_turn.get((agent, number))


def latest(history: History, agent: str, upto: int) -> Act | None:
    """The agent's newest act in rounds 1 to `upto`."""
    acts = (act_of(history, agent, number) for number in range(upto, 0, -1))
    return next((act for act in acts if act is not None), None)


def standing_answers(history: History, upto: int) -> dict[str, Answered]:
    """The current answer of every agent that has one, after round `upto`. Not to be changed."""
    if upto not in history.standing:
        found = {}
        for agent in history.panel:
            acts = (act_of(history, agent, number) for number in range(upto, 0, -1))
            answer = next((act for act in acts if isinstance(act, Answered)), None)
            if answer is not None:
                found[agent] = answer
        history.standing[upto] = found
    return history.standing[upto]


def dropped_agents(history: History, upto: int) -> set[str]:
    """Agents that the panel was shrunk by, up to a round."""
    return {act.agent for act in history.acts if isinstance(act, Dropped) and act.round <= upto}
