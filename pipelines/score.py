"""Score: one-call evaluations of many small texts, as many at once as the limiter allows."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.crew import RunCrew
from bessemer.actors.repair import call_repairing
from bessemer.cluster.records import ScoreRecord
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._base import Ending, Outcome, Pipeline, Plan, side_by_side


class Item(BaseModel):
    """One text to score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    text: str


class ScorePlan(Plan):
    """Texts, and the one question that is asked of each."""

    items: tuple[Item, ...]
    instructions: str
    """What is scored and how; the same for every text, so that vendors can cache it."""
    backend: str
    side_by_side: int = Field(default=400, ge=1)
    """Texts worked on at once; the limiter says how many of their calls are at the vendor."""
    max_output_tokens: int = 256

    def models(self) -> tuple[str, ...]:
        return (self.backend,)


class ScoreAnswer(BaseModel):
    """What a model must answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: int = Field(ge=1, le=10)
    reason: str = ""


class Scored(BaseModel):
    """One text's score, or why it has none; never a 0 for a failure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    score: int | None
    reason: str = ""
    failure: str = ""


class ScoreOutcome(Outcome):
    kind: ClassVar[str] = "score"
    scored: tuple[Scored, ...] = ()


SCHEMA = ScoreAnswer.model_json_schema()


async def score(run: Run, crew: RunCrew, plan: ScorePlan) -> ScoreOutcome:
    """Score every item; a failed call leaves its item without a score and the others alone."""
    # A batch holds what waits at the same time, so that overnight nothing may be held back.
    slots = asyncio.Semaphore(len(plan.items) if plan.urgency == "overnight" else plan.side_by_side)

    async def one(item: Item) -> Scored:
        async with slots:
            return await run.step(
                f"item/{item.id}", lambda step: _score(step, crew, plan, item), result=Scored, derived=True
            )

    scored, refused = await side_by_side(one(item) for item in plan.items)
    ending: Ending = "budget" if refused else "passed" if all(one.score is not None for one in scored) else "not_judged"
    spent = await crew.spending()
    return ScoreOutcome(
        run=run.id, ending=ending, scored=tuple(scored), seconds=round(run.worked(), 1), **spent.model_dump()
    )


async def _score(step: Step, crew: RunCrew, plan: ScorePlan, item: Item) -> Scored:
    request = ModelRequest(
        backend=plan.backend,
        instructions=plan.instructions,
        prompt=item.text,
        output_schema=SCHEMA,
        output_name="score",
        max_output_tokens=plan.max_output_tokens,
    )
    reply = await call_repairing(crew.journal(step, purpose="score"), request)
    scored = _read(item, reply)
    if scored.score is not None:
        step.record(
            ScoreRecord(
                run=step.ticket.run,
                path=step.path,
                criterion="score",
                score=scored.score,
                judge=plan.backend,
                subject=item.id,
            ).to_lake()
        )
    return scored


def _read(item: Item, reply: Reply | CallFailure) -> Scored:
    if isinstance(reply, CallFailure):
        return Scored(id=item.id, score=None, failure=f"{reply.kind}: {reply.message}")
    try:
        answer = ScoreAnswer.model_validate(reply.data)
    except ValidationError as error:
        return Scored(id=item.id, score=None, failure=f"malformed_output: {error.error_count()} errors")
    return Scored(id=item.id, score=answer.score, reason=answer.reason)


PIPELINE = Pipeline(plan=ScorePlan, outcome=ScoreOutcome, run=score)
