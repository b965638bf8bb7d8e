"""Check: one tiny real call to each backend, to see that it answers, in time, and at what cost."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.backends.base import CallFailure, ModelRequest
from bessemer.actors.crew import RunCrew
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._base import Ending, Outcome, Pipeline, Plan, side_by_side

QUESTION = "Answer with the single word: ready"


class CheckPlan(Plan):
    """Which backends are asked."""

    backends: tuple[str, ...] = Field(min_length=1)
    max_output_tokens: int = 1024
    """Room for a model that thinks before it speaks."""
    timeout: float = 60.0
    """Seconds for each call."""

    def models(self) -> tuple[str, ...]:
        return self.backends


class Checked(BaseModel):
    """What one backend answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str
    answered: bool
    text: str = ""
    model: str = ""
    """The model as the provider names it."""
    failure: str = ""
    message: str = ""
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


class CheckOutcome(Outcome):
    kind: ClassVar[str] = "check"
    checked: tuple[Checked, ...] = ()


async def check(run: Run, crew: RunCrew, plan: CheckPlan) -> CheckOutcome:
    """Ask every backend once, side by side; one that fails leaves the others alone."""

    async def one(backend: str) -> Checked:
        return await run.step(f"check/{backend}", lambda step: _check(step, crew, plan, backend), result=Checked)

    checked, refused = await side_by_side(one(backend) for backend in plan.backends)
    ending: Ending = "budget" if refused else "passed" if all(one.answered for one in checked) else "failed"
    spent = await crew.spending()
    return CheckOutcome(
        run=run.id, ending=ending, checked=tuple(checked), seconds=round(run.worked(), 1), **spent.model_dump()
    )


async def _check(step: Step, crew: RunCrew, plan: CheckPlan, backend: str) -> Checked:
    request = ModelRequest(
        backend=backend, prompt=QUESTION, max_output_tokens=plan.max_output_tokens, timeout=plan.timeout
    )
    reply = await crew.journal(step, purpose="check").call(request)
    used = reply.usage
    tokens = {"input_tokens": used.input, "output_tokens": used.output} if used else {}
    if isinstance(reply, CallFailure):
        return Checked(backend=backend, answered=False, failure=reply.kind, message=reply.message, **tokens)
    text = " ".join(reply.text.split())[:80]
    return Checked(backend=backend, answered=True, text=text, model=reply.model, seconds=reply.seconds, **tokens)


PIPELINE = Pipeline(plan=CheckPlan, outcome=CheckOutcome, run=check)
