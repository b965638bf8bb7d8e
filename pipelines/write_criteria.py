"""Write criteria: a model that may judge writes three to seven criteria for one task. Nothing is judged."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import ClassVar

from bessemer.actors.crew import RunCrew
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.reviewer_host import ReviewJob
from bessemer.actors.reviewers import Subject
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._base import Outcome, Pipeline, Plan
from bessemer.pipelines._course import Course, reaching_an_end


class WriteCriteriaPlan(Plan):
    task: str
    backend: str
    tree: str = ""
    """Absolute path of a folder to show; empty shows none."""

    def models(self) -> tuple[str, ...]:
        return (self.backend,)


class WriteCriteriaOutcome(Outcome):
    kind: ClassVar[str] = "write_criteria"
    criteria: CriteriaSet | None = None


async def write_criteria(run: Run, crew: RunCrew, plan: WriteCriteriaPlan) -> WriteCriteriaOutcome:
    """Have criteria written for `plan.task`; without any that can be used the run is inconclusive."""
    course, none = Course(run, plan), CriteriaSet(source="written", criteria=())
    written = none
    async with reaching_an_end(course):
        token = str(await run.observe("delimiter", lambda: secrets.token_hex(8)))
        tree = Path(plan.tree) if plan.tree else run.directory / "empty"
        tree.mkdir(parents=True, exist_ok=True)

        async def write(step: Step) -> CriteriaSet:
            subject = Subject(goal=plan.task, tree=str(tree), criteria=none, token=token)
            job = ReviewJob(ticket=step.ticket, kind="criteria", backend=plan.backend, subject=subject)
            return (await crew.review(step, job)).criteria or none

        written = await run.step("criteria", write, result=CriteriaSet)
        course.stopped_by = "passed" if written.criteria else "not_judged"
    ending = course.stopped_by
    spent = await crew.spending()
    said = f"{len(written.criteria)} criteria" if written.criteria else "the model gave no criteria that can be used"
    return WriteCriteriaOutcome(
        run=run.id,
        ending=ending,
        explanation=course.words(ending, said),
        **spent.model_dump(),
        criteria=written if written.criteria else None,
        seconds=round(run.worked(), 1),
    )


PIPELINE = Pipeline(plan=WriteCriteriaPlan, outcome=WriteCriteriaOutcome, run=write_criteria)
