"""What a consensus is asked to do, and what it answers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.judging.types import CriteriaSet
from bessemer.cluster.records import RunRecord
from bessemer.pipelines._base import Outcome, Plan
from bessemer.pipelines.consensus._acts import Abstained, Act, Failed, Policy, RuleName
from bessemer.pipelines.consensus._count import Decision

Pace = Literal["fast", "thrifty"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConsensusPlan(Plan):
    """A consensus, resolved: every default is filled in and every file that steers it is read or named."""

    task: str
    mode: str = "general"
    backends: tuple[str, ...] = Field(min_length=1)
    """One agent each."""
    criteria: CriteriaSet | None = None
    """What answers are rated by; None rates them as a whole."""
    context: str = ""
    """Text that every agent is given."""
    artifacts: tuple[str, ...] = ()
    """Absolute paths of files and folders that every agent is shown."""
    source: str = ""
    """Absolute path of the folder that agents may read; empty where they may not."""
    focus: str = ""
    rule: RuleName = "majority"
    quorum: int | None = Field(default=None, ge=1)
    policy: Policy = "default"
    tolerance: float = Field(default=0.02, gt=0, lt=0.5)
    """For the policy `sequential`: how much less often right it may be than the likeliest of one answer of each."""
    max_rounds: int = Field(default=3, ge=1, le=3)
    pace: Pace = "fast"
    """`thrifty` asks only as many at once as could decide the round; slower, and cheaper where agents agree."""
    time_budget: float | None = None
    work_dir: str = ""
    """Absolute path; empty is the run's own folder."""
    output_file: str = ""
    """Absolute path of a copy of the result."""
    plans_root: str = ""
    """Absolute path of the folder in which a decided plan or specification is kept as a living document."""
    max_output_tokens: int = 8192
    timeout: float = 300.0
    """Seconds for each call."""

    def models(self) -> tuple[str, ...]:
        return self.backends

    @property
    def all_at_once(self) -> bool:
        return self.pace == "fast" and self.policy != "sequential"


class Listened(_Frozen):
    """What became of a round's turns."""

    heard: tuple[tuple[str, str], ...]
    """Agents in the order in which they were heard, each with why its turn failed, or nothing."""
    sent: tuple[str, ...]
    """Agents whose call was sent, also by an incarnation of the run that died."""


class Heard(_Frozen):
    """One agent's turn in one round."""

    act: Act
    backend: str
    answer: Any = None
    """The answer's content, where the act is one."""
    reason: str = ""
    problems: tuple[str, ...] = ()
    """What was wrong with the reply, repair included."""
    position: int = 0
    """Place of the vote's target among the answers shown, from 1."""
    shown: int = 0
    position_bias: float | None = None
    """Of a scorer: its score for what stood first, less its score for what stood second; the mean of both orders."""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def why(self) -> str:
        """Why the agent gave nothing; empty where it gave something."""
        if isinstance(self.act, Abstained):
            return self.reason or self.act.reason
        if isinstance(self.act, Failed):
            return self.reason or "; ".join(self.problems[:3]) or self.act.failure
        return ""


class Doubt(_Frozen):
    """How the panel was split: the share that stands for the decision, with its 95 % Wilson interval."""

    votes: int
    electorate: int
    counted: int
    low: float
    high: float


class Saved(_Frozen):
    """Calls that an early decision made unnecessary."""

    calls: int = 0
    at_most: int = 0
    """Micro-dollars that would have been reserved for them."""


class NextDollar(_Frozen):
    """What more money would have bought."""

    buys: Literal["nothing", "votes", "round", "agents"]
    at_most: int = 0
    """Micro-dollars of the cheapest such purchase, at its worst case."""
    text: str


class AgentSummary(_Frozen):
    """One agent as the outcome tells of it."""

    agent: str
    backend: str
    value: float
    """Measured agreement with earlier outcomes, 0 to 1; 0.5 until measured."""
    answered: bool
    stands_for_winner: bool
    last: str
    """Its newest act, in a word."""
    dropped: bool = False


class ConsensusOutcome(Outcome):
    """What was decided, by whom, with what doubt, for how much, and what the next dollar would buy."""

    kind: ClassVar[str] = "consensus"
    mode: str = "general"
    task: str = ""
    decision: Decision | None = None
    answer: Any = None
    by: tuple[str, ...] = ()
    """Backends that wrote the answer."""
    agents: tuple[AgentSummary, ...] = ()
    doubt: Doubt | None = None
    saved: Saved = Saved()
    next_dollar: NextDollar | None = None
    position_bias: float | None = None
    """Mean over scorers, in points; None where nobody scored in both orders."""
    rounds: int = 0
    result: str = ""
    """Absolute path of `result.md`; empty where there is no answer."""
    directory: str = ""
    """Absolute path of the work directory."""
    files: tuple[str, ...] = ()
    """What the answer became, relative to the work directory."""
    plan_id: str = ""
    """The living document that a decided plan or specification became."""

    def record(self) -> RunRecord:
        about = {"task": self.task, "eval_backend": " ".join(one.backend for one in self.agents), "rounds": self.rounds}
        return super().record().model_copy(update=about)
