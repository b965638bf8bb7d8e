"""What carrying out a plan is asked, what it answers, and what it keeps in mind on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.crew import RunCrew
from bessemer.cluster.files import write_atomic
from bessemer.cluster.records import RunRecord
from bessemer.cluster.run import Run
from bessemer.pipelines._base import Ending, Outcome, Plan
from bessemer.pipelines._course import Course
from bessemer.pipelines.planning._documents import ProjectPlan
from bessemer.pipelines.planning._folder import PlanFolder, Resumable, now
from bessemer.pipelines.planning._living import LivingPlan
from bessemer.pipelines.refine import RefinePlan

Stop = Literal["", "mutations", "timed_out", "stopped", "not_judged", "no_mutation"]
"""Why the work ended before the plan did."""


class ExecutePlan(Plan):
    """A plan to carry out, as it stood when the run was started."""

    directory: str
    """Absolute path of the plan's folder."""
    task: str
    """The goal of the whole plan."""
    document: dict[str, Any]
    """The living plan at the start; the run is pinned to it and takes later edits in as they come."""
    chunks: tuple[str, ...]
    refine: RefinePlan
    """How each chunk is refined; task, source and criteria are filled in for each."""
    max_mutations: int = Field(default=3, ge=0, le=20)
    """How often a chunk's plan may change before a person is asked, or the run stops."""
    chunk_seconds: float | None = None
    """Most seconds for one try at a chunk."""
    interactive: bool = False
    max_output_tokens: int = 8192

    @property
    def eval_backend(self) -> str:
        return self.refine.eval_backend

    @property
    def source(self) -> str:
        return self.refine.source

    def refinement(self) -> RefinePlan:
        return self.refine

    def models(self) -> tuple[str, ...]:
        return self.refine.models()


class ChunkResult(BaseModel):
    """One try at a chunk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunk: str
    attempt: int
    ending: Ending
    tasks: tuple[str, ...]
    mutation: str = ""
    """What changed in the plan after it: fix or replan; empty for nothing."""
    cost: int = 0


class ExecuteOutcome(Outcome):
    kind: ClassVar[str] = "execute"
    plan_id: str = ""
    directory: str = ""
    """Absolute path of the run's files."""
    stop: Stop = ""
    chunk: str = ""
    """Where it ended; empty where all is done."""
    attempts: tuple[ChunkResult, ...] = ()
    divergence_score: float = 0.0
    drift: float = 0.0
    result: str = ""
    """Absolute path of the folder with the work so far."""
    task: str = ""
    build_backend: str = ""
    eval_backend: str = ""

    def record(self) -> RunRecord:
        about = {
            "task": self.task,
            "build_backend": self.build_backend,
            "eval_backend": self.eval_backend or "probes",
            "rounds": len(self.attempts),
        }
        return super().record().model_copy(update=about)


class Work:
    """The run, the living plan, and how far the work has come. Rebuilt by replay."""

    def __init__(self, run: Run, crew: RunCrew, plan: ExecutePlan) -> None:
        self.run = run
        self.crew = crew
        self.plan = plan
        # A chunk's refinement keeps the deadline itself, so that it can save what it accepted.
        self.course = Course(run, plan.model_copy(update={"time_budget": None}))
        self.folder = PlanFolder(Path(plan.directory))
        self.living = LivingPlan(run, self.folder, ProjectPlan.model_validate(plan.document))
        self.source = plan.refine.source
        self.attempts: list[ChunkResult] = []
        self.stop: Stop = ""
        self.chunk = ""
        self.tries: dict[str, int] = {}
        """How often each chunk was tried; a person may open a finished one again."""
        self.mutations: dict[str, int] = {}
        """How often each chunk's plan was changed."""

    async def begin(self) -> None:
        self.folder.update(
            status="executing", execution_session_id=self.run.id, execution_log_dir=str(self.run.directory)
        )
        await self.living.save("begin", "execution_started", lambda plan: plan, run=self.run.id)

    def end(self, ending: Ending, stop: Stop, why: str) -> bool:
        """Note why the work ends here; returns False, for `go on`."""
        self.course.stopped_by, self.course.explanation, self.stop = ending, why, stop
        return False

    async def seconds_left(self, name: str) -> float | None:
        """What a try may take: the chunk's own limit, or what is left of the whole."""
        total = self.plan.time_budget
        spent = await self.run.elapsed(name)
        left = None if total is None else max(total - spent, 0.0)
        limits = [one for one in (left, self.plan.chunk_seconds) if one is not None]
        return min(limits) if limits else None

    async def conclude(self) -> ExecuteOutcome:
        """Say in the plan's folder and in the outcome how it ended."""
        ending, plan, run = self.course.stopped_by, self.plan, self.run
        if ending in ("budget", "deadline", "cancelled") and not self.stop:
            self.stop = "stopped"
        found = self._note_the_end(ending)
        spent = await self.crew.spending()
        outcome = ExecuteOutcome(
            run=run.id,
            ending=ending,
            explanation=self.course.words(ending),
            **spent.model_dump(),
            plan_id=self.folder.id,
            directory=str(run.directory),
            stop=self.stop,
            chunk="" if ending == "converged" else self.chunk,
            attempts=tuple(self.attempts),
            divergence_score=found[0],
            drift=found[1],
            result=self.source if self.attempts else "",
            seconds=round(run.worked(), 1),
            task=plan.task,
            build_backend=plan.refine.build_backend,
            eval_backend=plan.refine.eval_backend,
        )
        text = json.dumps(outcome.model_dump(mode="json"), indent=2) + "\n"
        write_atomic(run.directory / "outcome.json", text.encode())
        return outcome

    def _note_the_end(self, ending: Ending) -> tuple[float, float]:
        done = ending == "converged"
        failed = ending in ("failed", "not_judged")
        left = Resumable(marked_at=now(), current_chunk=self.chunk, reason=self.stop or ending)
        self.folder.update(
            status="completed" if done else "failed" if failed else "resumable",
            resumable_state=None if done else left,
            current_chunk=None if done else self.chunk,
            **({"result": self.source} if self.attempts else {}),
        )
        found = self.folder.diff()
        key = f"{self.run.id}/{self.run.epoch}/ended"
        why = self.course.words(ending)
        self.folder.tell("execution_ended", key, ending=ending, why=why, drift=found.drift)
        return found.divergence_score, found.drift
