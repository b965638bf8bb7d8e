"""Draft: one model writes a plan or a specification; code checks it and keeps it as a living document."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.asking import Read, ask_checked
from bessemer.actors.backends.base import ModelRequest
from bessemer.actors.crew import RunCrew
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.reviewers import Fence, headed, show_criteria
from bessemer.cluster.files import write_atomic
from bessemer.cluster.records import RunRecord
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._base import Ending, Outcome, Pipeline, Plan
from bessemer.pipelines._course import Course, reaching_an_end
from bessemer.pipelines.planning._living import keep_document
from bessemer.pipelines.planning._modes import MODES, DocumentMode, write_document
from bessemer.pipelines.planning._reading import Kind, check_document

DEPTHS = {
    "dynamic": "as many items as the goal needs",
    "shallow": "5 to 10 items",
    "medium": "20 to 50 items",
    "deep": "100 to 200 items",
}
Depth = Literal["dynamic", "shallow", "medium", "deep"]


class DraftPlan(Plan):
    """What is to be planned or specified, and by whom."""

    mode: Kind
    task: str
    """The goal or the problem, word for word."""
    backend: str
    root: str
    """Absolute path of the folder that plans are kept in."""
    context: str = ""
    """Text of the files that the user gave."""
    criteria: CriteriaSet | None = None
    """What the document will be judged by; the writer is told."""
    depth: Depth = "dynamic"
    chunks: int | None = Field(default=None, ge=1)
    max_output_tokens: int = 16384

    def models(self) -> tuple[str, ...]:
        return (self.backend,)


class Drafted(BaseModel):
    """What the model brought: a document's JSON, or why there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: dict[str, Any] | None
    why: str = ""


class DraftOutcome(Outcome):
    kind: ClassVar[str] = "draft"
    mode: Kind = "plan"
    plan_id: str = ""
    directory: str = ""
    """Absolute path of the plan's folder; empty where there is none."""
    items: int = 0
    task: str = ""
    backend: str = ""

    def record(self) -> RunRecord:
        about = {"task": self.task, "build_backend": self.backend, "rounds": 1}
        return super().record().model_copy(update=about)


async def draft(run: Run, crew: RunCrew, plan: DraftPlan) -> DraftOutcome:
    """Have a plan or a specification written, and keep it."""
    course, drafted, directory = Course(run, plan), Drafted(document=None), ""
    async with reaching_an_end(course):
        crew.people.tell("step", name=f"writing the {plan.mode}")
        token = str(await run.observe("delimiter", lambda: secrets.token_hex(8)))
        drafted = await run.step("draft", lambda step: _write(step, crew, plan, token), result=Drafted)
        if drafted.document is not None:
            directory = await _keep(run, plan, drafted.document)
        course.stopped_by = "passed" if directory else "not_judged"
        course.explanation = f"the {plan.mode} is {directory}" if directory else f"no sound {plan.mode}: {drafted.why}"
    return await _conclude(course, crew, drafted, directory)


async def _write(step: Step, crew: RunCrew, plan: DraftPlan, token: str) -> Drafted:
    mode = MODES[plan.mode]
    request = ModelRequest(
        backend=plan.backend,
        instructions=mode.instructions,
        prompt=prompt_for(mode, plan, token),
        output_schema=mode.output_schema,
        output_name=mode.name,
        max_output_tokens=plan.max_output_tokens,
    )

    def read(data: Any) -> Read[dict[str, Any]]:
        document, problems = mode.read(data)
        return Read(None if document is None else document.model_dump(mode="json"), problems)

    asked = await ask_checked(crew.journal(step, purpose=plan.mode), request, read)
    return Drafted(document=asked.value, why=asked.why if asked.value is None else "")


def prompt_for(mode: DocumentMode, plan: DraftPlan, token: str) -> str:
    """What the writer is asked: the goal and what belongs to it, as data."""
    fence = Fence(token, [plan.task, plan.context])
    return headed(
        {
            "The goal" if mode.name == "plan" else "The problem": fence.around("task", plan.task),
            "Context": fence.around("context", plan.context) if plan.context else "",
            "What it will be judged by": show_criteria(plan.criteria) if plan.criteria else "",
            "Size": size_in_words(plan.depth, plan.chunks),
        }
    )


def size_in_words(depth: Depth, chunks: int | None) -> str:
    """How large a document is to be, as a sentence."""
    size = DEPTHS[depth] + (f", in {chunks} chunks" if chunks else "")
    return f"{size[:1].upper()}{size[1:]}."


async def _keep(run: Run, plan: DraftPlan, data: dict[str, Any]) -> str:
    """The document's folder; made once, whatever is replayed."""
    document = check_document(plan.mode, data).document
    if document is None:
        raise ValueError("a journalled document does not pass its own checks")
    folder = await keep_document(run, Path(plan.root), document, prompt=plan.task, mode="single")
    write_document(run.directory / MODES[plan.mode].file, document)
    return str(folder.path)


async def _conclude(course: Course[DraftPlan], crew: RunCrew, drafted: Drafted, directory: str) -> DraftOutcome:
    run, plan, ending = course.run, course.plan, course.stopped_by
    spent = await crew.spending()
    items = (drafted.document or {}).get("tasks" if plan.mode == "plan" else "requirements", [])
    outcome = DraftOutcome(
        run=run.id,
        ending=_ending(ending, directory),
        explanation=course.words(ending),
        **spent.model_dump(),
        mode=plan.mode,
        plan_id=Path(directory).name,
        directory=directory,
        items=len(items),
        seconds=round(run.worked(), 1),
        task=plan.task,
        backend=plan.backend,
    )
    text = json.dumps(outcome.model_dump(mode="json"), indent=2) + "\n"
    write_atomic(run.directory / "outcome.json", text.encode())
    return outcome


def _ending(ending: Ending, directory: str) -> Ending:
    # What is kept is kept: a deadline that falls after it changes nothing.
    return "passed" if directory else ending


PIPELINE = Pipeline(plan=DraftPlan, outcome=DraftOutcome, run=draft)
