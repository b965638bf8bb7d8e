"""The living document while a run works by it: written as the work proceeds, and open to other hands meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bessemer.cluster.errors import PlanError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.run import Run, Step
from bessemer.pipelines.planning._diff import compare
from bessemer.pipelines.planning._documents import Document, ProjectPlan, TaskStatus
from bessemer.pipelines.planning._folder import ChunkAttempt, PlanFolder, PlanMetadata, create, new_id, now
from bessemer.pipelines.planning._graph import chunks_in_order
from bessemer.pipelines.planning._reading import check_plan

Change = Callable[[ProjectPlan], ProjectPlan]


class Saved(BaseModel):
    """The plan as it stood after a write."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: dict[str, Any]


class LivingPlan:
    """The plan of a run. Every write is a step, so that a replay neither repeats it nor undoes what people did since.

    Before a write the file is read again: a sound document that somebody has changed meanwhile is taken over, one that
    is not is kept aside; both are told in the log.
    """

    def __init__(self, run: Run, folder: PlanFolder, plan: ProjectPlan) -> None:
        self._run = run
        self._folder = folder
        self.plan = plan

    async def save(self, name: str, event: str, change: Change, **facts: Any) -> ProjectPlan:
        """Change the plan and log it, once. `name` is the step's."""

        async def write(step: Step) -> Saved:
            living = self._read_again(name)
            new = change(living)
            self._folder.write(new)
            key = f"{self._run.id}/{name}"
            found = self._folder.diff()
            self._folder.tell(event, key, **facts, divergence=found.divergence_score, drift=found.drift)
            return Saved(plan=new.model_dump(mode="json"))

        saved = await self._run.step(f"plan/{name}", write, result=Saved)
        self.plan = ProjectPlan.model_validate(saved.plan)
        return self.plan

    def _read_again(self, name: str) -> ProjectPlan:
        key = f"{self._run.id}/{name}/outside"
        try:
            found = self._folder.plan()
        except PlanError as error:
            aside = self._folder.path / "workspace" / "plan.rejected.json"
            path = self._folder.file("workspace")
            if path.exists():
                write_atomic(aside, path.read_bytes())
            self._folder.tell("edit_refused", key, why=error.message, kept_as=aside.name)
            return self.plan
        if found == self.plan:
            return found
        places = compare(self.plan, found).where
        told = [f"{one.change} {one.id}.{one.field}".rstrip(".") for one in places]
        self._folder.tell("edited_outside", key, where=told or ["status"])
        return found

    async def describe(self, name: str, make: Callable[[PlanMetadata], dict[str, Any]]) -> None:
        """Change the metadata, once."""

        async def write(step: Step) -> Saved:
            self._folder.update(**make(self._folder.metadata))
            return Saved(plan={})

        await self._run.step(f"plan/{name}", write, result=Saved)


async def keep_document(run: Run, root: Path, document: Document, *, prompt: str, mode: str) -> PlanFolder:
    """Keep what a run wrote as a living document below `root`: made once, whatever is replayed."""
    return create(
        root,
        document,
        await run.observe("plan-id", new_id),
        planning_prompt=prompt,
        planning_session_id=run.id,
        planning_log_dir=str(run.directory),
        last_planning_mode=mode,
    )


def with_status(plan: ProjectPlan, names: set[str], status: TaskStatus) -> ProjectPlan:
    """The plan with this status for tasks of these ids that are not superseded."""
    chosen = [task for task in plan.tasks if task.id in names and task.status != "superseded"]
    return plan.with_tasks(*(task.model_copy(update={"status": status}) for task in chosen))


def sound(plan: ProjectPlan) -> list[str]:
    """What is wrong with a plan that code has put together; empty for a sound one."""
    return [str(one) for one in check_plan(plan.model_dump(mode="json")).problems]


def after_attempt(about: PlanMetadata, plan: ProjectPlan, chunk: str, status: str, attempt: int) -> dict[str, Any]:
    """The metadata after a try at a chunk. Only a chunk that is done counts as completed."""
    tasks = [task for task in plan.tasks if task.chunk == chunk]
    entry = ChunkAttempt(
        chunk=chunk, status=status, attempt=attempt, timestamp=now(), progress=sum(task.ended for task in tasks)
    )
    history = about.chunk_history
    if not any((one.chunk, one.attempt, one.status) == (chunk, attempt, status) for one in history):
        history = (*history, entry)
    done = all(task.ended for task in tasks)
    completed = tuple(dict.fromkeys((*about.completed_chunks, chunk))) if done else about.completed_chunks
    return {
        "chunk_history": history,
        "completed_chunks": completed,
        "chunk_order": chunks_in_order(plan.tasks),
        "current_chunk": chunk,
    }
