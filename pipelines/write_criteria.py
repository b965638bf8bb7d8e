"""Write criteria for one task, or raise those that work already meets, by a model that may judge. Nothing is judged."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from bessemer.actors.crew import RunCrew
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.reviewer_host import ReviewJob
from bessemer.actors.reviewers import RaisedCriteria, Subject
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._base import Outcome, Pipeline, Plan
from bessemer.pipelines._course import Course, reaching_an_end

_NONE = CriteriaSet(source="written", criteria=())


class WriteCriteriaPlan(Plan):
    task: str
    backend: str
    tree: str = ""
    """Absolute path of a folder to show; empty shows none."""
    raises: CriteriaSet | None = None
    """Criteria that are met and are to be raised; None writes new ones."""
    scores: dict[str, int] = Field(default_factory=dict)
    """What the work scored by them, where that is known."""

    def models(self) -> tuple[str, ...]:
        return (self.backend,)


class WriteCriteriaOutcome(Outcome):
    kind: ClassVar[str] = "write_criteria"
    criteria: CriteriaSet | None = None
    changed: tuple[str, ...] = ()
    """Ids of the criteria that were raised or are new, where a set was to be raised."""
    why: str = ""
    """Why they were raised, or why not."""


async def write_criteria(run: Run, crew: RunCrew, plan: WriteCriteriaPlan) -> WriteCriteriaOutcome:
    """Have criteria written or raised; without any that can be used the run is inconclusive."""
    course, found = Course(run, plan), WriteCriteriaOutcome(run=run.id, ending="not_judged")
    async with reaching_an_end(course):
        token = str(await run.observe("delimiter", lambda: secrets.token_hex(8)))
        tree = Path(plan.tree) if plan.tree else run.directory / "empty"
        tree.mkdir(parents=True, exist_ok=True)
        subject = Subject(goal=plan.task, tree=str(tree), criteria=plan.raises or _NONE, token=token)
        found = (
            await _write(run, crew, plan, subject) if plan.raises is None else await _raise(run, crew, plan, subject)
        )
        course.stopped_by = found.ending
    spent = await crew.spending()
    about = {
        **spent.model_dump(),
        "ending": course.stopped_by,
        "explanation": course.words(course.stopped_by, found.explanation),
        "seconds": round(run.worked(), 1),
    }
    return found.model_copy(update=about)


async def _write(run: Run, crew: RunCrew, plan: WriteCriteriaPlan, subject: Subject) -> WriteCriteriaOutcome:
    async def write(step: Step) -> CriteriaSet:
        job = ReviewJob(ticket=step.ticket, kind="criteria", backend=plan.backend, subject=subject)
        return (await crew.review(step, job)).criteria or _NONE

    written = await run.step("criteria", write, result=CriteriaSet)
    if not written.criteria:
        said = "the model gave no criteria that can be used"
        return WriteCriteriaOutcome(run=run.id, ending="not_judged", explanation=said)
    said = f"{len(written.criteria)} criteria"
    return WriteCriteriaOutcome(run=run.id, ending="passed", explanation=said, criteria=written)


async def _raise(run: Run, crew: RunCrew, plan: WriteCriteriaPlan, subject: Subject) -> WriteCriteriaOutcome:
    async def propose(step: Step) -> RaisedCriteria:
        job = ReviewJob(
            ticket=step.ticket, kind="raise", backend=plan.backend, subject=subject, scores=dict(plan.scores)
        )
        raised = (await crew.review(step, job)).raised
        if raised is None:
            raise ClusterError("a reviewer host answered without a result; restart it with `bessemer cluster down`")
        return raised

    raised = await run.step("raise", propose, result=RaisedCriteria)
    about = {"run": run.id, "why": raised.why}
    if raised.criteria is not None:
        before = subject.criteria.by_id()
        changed = tuple(one.id for one in raised.criteria.criteria if one != before.get(one.id))
        said = f"raised: {', '.join(changed)}"
        return WriteCriteriaOutcome(
            **about, ending="passed", explanation=said, criteria=raised.criteria, changed=changed
        )
    if raised.unchanged:
        return WriteCriteriaOutcome(**about, ending="passed", explanation=f"nothing is raised: {raised.why}")
    said = f"the model gave no change that can be used: {raised.why}"
    return WriteCriteriaOutcome(**about, ending="not_judged", explanation=said)


PIPELINE = Pipeline(plan=WriteCriteriaPlan, outcome=WriteCriteriaOutcome, run=write_criteria)
