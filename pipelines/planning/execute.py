"""Execute: a plan, chunk by chunk. Each chunk is a refinement; what it brought is judged, and the plan moves with it.

One run, one budget: the refinements are parts of it, and their steps stand under the chunk's name.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from bessemer.actors.crew import RunCrew
from bessemer.actors.judging import RunFiles
from bessemer.actors.judging.types import ApproachAssessment, NextTasks
from bessemer.cluster.errors import UsageError
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._base import Ending, Outcome, Pipeline
from bessemer.pipelines._course import reaching_an_end
from bessemer.pipelines.evaluate import evaluate
from bessemer.pipelines.planning._chunk import (
    chunk_criteria,
    chunk_task,
    next_chunk,
    open_tasks,
    slug,
    wants_evaluation,
)
from bessemer.pipelines.planning._documents import PlanTask
from bessemer.pipelines.planning._execution import ChunkResult, ExecuteOutcome, ExecutePlan, Work
from bessemer.pipelines.planning._living import after_attempt, with_status
from bessemer.pipelines.planning._mutate import Mutation, fixes, replan
from bessemer.pipelines.refine import RefineOutcome, refine

__all__ = ["PIPELINE", "ExecuteOutcome", "ExecutePlan", "execute"]

STOPS: tuple[Ending, ...] = ("budget", "deadline", "cancelled", "not_judged")
"""Endings of a chunk's refinement that end the whole run: none of them says that the chunk is done."""


async def execute(run: Run, crew: RunCrew, plan: ExecutePlan) -> ExecuteOutcome:
    """Carry out a plan: the first chunk with work left, until none is or something stops it."""
    work = Work(run, crew, plan)
    async with reaching_an_end(work.course):
        await work.begin()
        while chunk := next_chunk(work.living.plan):
            if not await _carry_out(work, chunk):
                break
        else:
            work.course.stopped_by = "converged"
            work.course.explanation = "every task of the plan is done"
    return await work.conclude()


async def _carry_out(work: Work, chunk: str) -> bool:
    """Try a chunk until it is done, its plan changing between tries. True where the next chunk may begin."""
    work.chunk = chunk
    while tasks := open_tasks(work.living.plan, chunk):
        attempt = work.tries[chunk] = work.tries.get(chunk, 0) + 1
        ended = await _try(work, chunk, tasks, attempt)
        if ended.ending in STOPS:
            return await _stopped(work, ended, attempt)
        found = await _judge(work, ended, tasks, attempt)
        if found.stopped is not None:
            return await _stopped(work, found.stopped, attempt)
        if found.done:
            await _close(work, chunk, tasks, attempt)
            continue
        mutations = work.mutations.get(chunk, 0)
        if mutations >= work.plan.max_mutations:
            answer = await _ask(work, chunk, mutations)
            if answer == "accept":
                await _close(work, chunk, tasks, attempt, "accepted")
                continue
            if answer != "again":
                why = f"chunk {chunk} is not done after {mutations} changes of its plan; see `bessemer plan status`"
                return work.end("failed", "mutations", why)
        work.mutations[chunk] = mutations + 1
        if not await _mutate(work, ended, found.tasks, mutations + 1, attempt):
            return False
    return True


async def _try(work: Work, chunk: str, tasks: list[PlanTask], attempt: int) -> RefineOutcome:
    """Refine the work by the chunk's open tasks."""
    name, names = f"{slug(chunk)}/try-{attempt}", {task.id for task in tasks}
    seconds = await work.seconds_left(f"{name}/began")
    await work.living.save(
        f"{name}/begin", "chunk_started", lambda plan: with_status(plan, names, "in_progress"), chunk=chunk,
        attempt=attempt, tasks=sorted(names),
    )  # fmt: skip
    work.crew.people.tell("notice", text=f"chunk {chunk}, try {attempt}: {len(tasks)} tasks")
    template = work.plan.refine
    criteria = template.criteria or (chunk_criteria(tasks) if template.eval_backend else None)
    plan = template.model_copy(
        update={
            "task": chunk_task(work.plan.task, work.living.plan, chunk, tasks),
            "source": work.source,
            "criteria": criteria,
            "time_budget": seconds,
        }
    )
    part = work.run.within(name)
    outcome = await refine(part, work.crew.within(part), plan)
    if outcome.result:
        work.source = outcome.result
    work.attempts.append(
        ChunkResult(chunk=chunk, attempt=attempt, ending=outcome.ending, tasks=tuple(sorted(names)), cost=outcome.cost)
    )
    return outcome


async def _stopped(work: Work, ended: Outcome, attempt: int) -> bool:
    """A chunk whose time is up is not completed: its tasks wait, and the log says so."""
    ending = ended.ending
    if ending == "not_judged":
        return work.end("not_judged", "not_judged", f"chunk {work.chunk}: {ended.explanation}")
    key = f"{work.run.id}/{work.run.epoch}/{work.chunk}/{attempt}/{ending}"
    status = "timed_out" if ending == "deadline" else "interrupted"
    work.folder.tell(f"chunk_{status}", key, chunk=work.chunk, attempt=attempt, why=ended.explanation)
    work.folder.update(**after_attempt(work.folder.metadata, work.living.plan, work.chunk, status, attempt))
    return work.end(
        ending, "timed_out" if ending == "deadline" else "stopped", f"chunk {work.chunk}: {ended.explanation}"
    )


class _Judged(NamedTuple):
    """What became of a try: done, or what an evaluation says is left; nothing where it said nothing."""

    done: bool
    tasks: NextTasks | None = None
    stopped: Outcome | None = None
    """The evaluation that was itself stopped: then nothing is known of the try."""


async def _judge(work: Work, ended: RefineOutcome, tasks: list[PlanTask], attempt: int) -> _Judged:
    """Whether a try was enough, and what is still to be done.

    After a checkpoint and after exploratory work the whole is judged, not only the chunk.
    """
    name, part = f"{slug(work.chunk)}/try-{attempt}", f"{slug(work.chunk)}/checkpoint-{attempt}"
    if ended.ending == "converged":
        if not (wants_evaluation(tasks) and work.plan.eval_backend):
            return _Judged(True)
        whole = await _checkpoint(work, part)
        if whole.ending in STOPS:
            return _Judged(False, stopped=whole)
        if whole.ending == "passed":
            return _Judged(True)
        return await _next_tasks(work, part, 1)
    return await _next_tasks(work, name, len(ended.rounds))


async def _checkpoint(work: Work, part: str) -> Outcome:
    """Judge the work as a whole, by the user's criteria or by those of all that is done."""
    plan = work.living.plan
    done = [one for one in plan.tasks if one.status in ("in_progress", "completed", "verified")]
    goal = f"{work.plan.task}\n\nThe plan is carried out up to and with chunk {work.chunk}; judge what is there so far."
    criteria = work.plan.refine.criteria or chunk_criteria(done)
    whole = work.plan.refine.model_copy(
        update={"task": goal, "source": work.source, "criteria": criteria, "time_budget": None, "max_rounds": 1}
    )
    whole = whole.model_copy(update={"build_backend": ""})
    run = work.run.within(part)
    outcome = await evaluate(run, work.crew.within(run), whole)

    async def note(step: Step) -> _Noted:
        copy = work.folder.checkpoint(f"chunk {work.chunk}: {outcome.ending}", f"{work.run.id}/{part}")
        return _Noted(file=copy.name)

    if outcome.ending not in STOPS:
        await work.run.step(f"plan/{part}", note, result=_Noted)
    return outcome


class _Noted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str


async def _next_tasks(work: Work, part: str, number: int) -> _Judged:
    """The tasks that an evaluation left behind, read once and journalled."""

    def read() -> dict[str, Any] | None:
        files = RunFiles(work.run.directory / part)
        try:
            return files.read_next_tasks(number).model_dump(mode="json")
        except UsageError:
            return None

    found = await work.run.observe(f"{part}/next-tasks", read)
    return _Judged(False, NextTasks.model_validate(found) if found else None)


async def _close(work: Work, chunk: str, tasks: list[PlanTask], attempt: int, word: str = "completed") -> None:
    """Write down that the chunk's tasks are done; judged ones are verified."""
    names = {task.id for task in tasks}
    judged = word == "completed" and wants_evaluation(tasks) and bool(work.plan.eval_backend)
    name = f"{slug(chunk)}/try-{attempt}/end"
    plan = await work.living.save(
        name, "chunk_completed", lambda plan: with_status(plan, names, "verified" if judged else "completed"),
        chunk=chunk, attempt=attempt, how=word,
    )  # fmt: skip
    await work.living.describe(f"{name}/metadata", lambda about: after_attempt(about, plan, chunk, word, attempt))


async def _mutate(work: Work, ended: RefineOutcome, found: NextTasks | None, number: int, attempt: int) -> bool:
    """Change the chunk's plan by what was found. False where nobody knows how."""
    chunk = work.chunk
    assessment = found.approach_assessment if found else ApproachAssessment()
    reached = assessment.ceiling_status == "ceiling_reached"
    mutation = Mutation(kind="none")
    if reached and work.plan.eval_backend:
        mutation = await _replanned(work, assessment, number)
    if mutation.kind == "none" and found is not None and not reached:
        mutation = fixes(work.living.plan, chunk, found, number)
    if mutation.kind == "none":
        why = mutation.why or ended.explanation or "the evaluation named nothing to do"
        return work.end("failed", "no_mutation", f"chunk {chunk} is not done ({ended.ending}): {why}")
    name = f"{slug(chunk)}/mutation-{number}"
    # What was tried stays open: the next try is judged by its verification, too.
    plan = await work.living.save(
        name, "plan_mutated", mutation.apply, chunk=chunk, mutation=mutation.kind, number=number, why=mutation.why,
        added=[task.id for task in mutation.added], superseded=list(mutation.superseded),
        ceiling=assessment.ceiling_status, assessment=assessment.model_dump(mode="json"),
    )  # fmt: skip
    await work.living.describe(f"{name}/metadata", lambda about: after_attempt(about, plan, chunk, "retry", attempt))
    work.attempts[-1] = work.attempts[-1].model_copy(update={"mutation": mutation.kind})
    return True


async def _replanned(work: Work, assessment: ApproachAssessment, number: int) -> Mutation:
    token = str(await work.run.observe("delimiter", lambda: secrets.token_hex(8)))
    return await work.run.step(
        f"{slug(work.chunk)}/replan-{number}",
        lambda step: replan(
            step,
            work.crew,
            work.plan.eval_backend,
            goal=work.plan.task,
            plan=work.living.plan,
            chunk=work.chunk,
            assessment=assessment,
            token=token,
            max_output_tokens=work.plan.max_output_tokens,
        ),
        result=Mutation,
    )


async def _ask(work: Work, chunk: str, mutations: int) -> str:
    """Put the choice to a person where one may be asked; else the run stops."""
    if not work.plan.interactive:
        return "stop"
    name = f"{slug(chunk)}/after-{mutations}-mutations"
    often = "once" if mutations == 1 else f"{mutations} times"
    words = (
        f"The plan of chunk {chunk} was changed {often} and it still does not pass.\n"
        "Change it once more, accept the chunk as it is, or stop?"
    )
    return str(
        await work.run.observe(name, lambda: work.crew.people.ask(name, words, ("again", "accept", "stop"), "stop"))
    )


PIPELINE = Pipeline(plan=ExecutePlan, outcome=ExecuteOutcome, run=execute)
