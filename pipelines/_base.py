"""What every pipeline is made of: a plan that is pinned, a coroutine, and an outcome that is typed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.crew import RunCrew
from bessemer.cluster.errors import BudgetExhausted
from bessemer.cluster.ledger.operations import RunStatus
from bessemer.cluster.records import RunRecord
from bessemer.cluster.run import Run, Urgency

Ending = Literal[
    "converged",
    "passed",
    "decided",
    "forced",
    "failed",
    "max_rounds",
    "plateau",
    "not_judged",
    "deadline",
    "budget",
    "cancelled",
]


class EndingFacts(NamedTuple):
    """What an ending means: for the shell, for the ledger, for people."""

    exit_code: int
    status: RunStatus
    words: str


ENDINGS: dict[Ending, EndingFacts] = {
    "converged": EndingFacts(0, "done", "every must criterion is met"),
    "passed": EndingFacts(0, "done", "every must criterion is met"),
    "decided": EndingFacts(0, "done", "the panel agreed"),
    "forced": EndingFacts(0, "done", "out of rounds before the panel agreed; the declared rule chose"),
    "failed": EndingFacts(1, "done", "the work does not meet its criteria"),
    "max_rounds": EndingFacts(1, "done", "out of rounds before the work converged"),
    "plateau": EndingFacts(1, "done", "two rounds brought no material gain"),
    "not_judged": EndingFacts(3, "done", "nothing here could be measured or scored"),
    "deadline": EndingFacts(3, "interrupted", "out of time, and what was accepted so far is saved"),
    "budget": EndingFacts(4, "budget", "what was accepted so far is saved"),
    "cancelled": EndingFacts(130, "interrupted", "what was accepted so far is saved"),
}


class Plan(BaseModel):
    """Arguments of a run, resolved and pinned: resuming under others is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urgency: Urgency = "now"
    """`overnight` makes every call through its vendor's batch API: at the batch price, within about a day."""
    time_budget: float | None = None
    """Seconds of work, interruptions left out."""

    priority: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    """Weight against other runs where several wait for one model."""

    def models(self) -> tuple[str, ...]:
        """The backends the run may call, as `provider/model`."""
        return ()


class Outcome(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ClassVar[str] = "run"
    run: str
    ending: Ending
    explanation: str = ""
    refused_by: str = ""
    """The scope whose cap refused a call, where `ending` is `budget`."""
    cost: int = 0
    """Micro-dollars charged so far, what is in doubt included."""
    in_doubt: int = 0
    """Micro-dollars of that which no answer has confirmed."""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    """Reasoning included."""
    seconds: float = 0.0
    """Time at work: while it lay interrupted is not counted."""

    @property
    def exit_code(self) -> int:
        return ENDINGS[self.ending].exit_code

    @property
    def status(self) -> RunStatus:
        return ENDINGS[self.ending].status

    def record(self) -> RunRecord:
        """The `runs` row, without what only the host of the run knows."""
        return RunRecord(
            run=self.run,
            pipeline=self.kind,
            ending=self.ending,
            exit_code=self.exit_code,
            seconds=self.seconds,
            cost=self.cost,
            in_doubt=self.in_doubt,
            calls=self.calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )


T = TypeVar("T")
P = TypeVar("P", bound=Plan)
O = TypeVar("O", bound=Outcome)  # noqa: E741


async def side_by_side(work: Iterable[Awaitable[T]]) -> tuple[list[T], bool]:
    """Do all of it at once: the results there are, in order, and whether a cap refused some of it.

    Raises the first error that is none of a cap, once everything has ended.
    """
    done = await asyncio.gather(*work, return_exceptions=True)
    broke = [result for result in done if isinstance(result, BaseException)]
    if others := [error for error in broke if not isinstance(error, BudgetExhausted)]:
        raise others[0]
    return [result for result in done if not isinstance(result, BaseException)], bool(broke)


def pipeline_named(name: str) -> Pipeline[Any, Any]:
    """The pipeline of the module `name` under `bessemer.pipelines`, for example `refine` or `planning.draft`."""
    found: Pipeline[Any, Any] = importlib.import_module(f"bessemer.pipelines.{name}").PIPELINE
    return found


class Pipeline(NamedTuple, Generic[P, O]):
    """A pipeline as the run host finds it: `PIPELINE` in its module."""

    plan: type[P]
    outcome: type[O]
    run: Callable[[Run, RunCrew, Any], Awaitable[O]]
