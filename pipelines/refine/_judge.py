"""Judging a round: probes measure, a model that may judge scores, and code draws the conclusion."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any, Literal, TypeVar, cast

from bessemer.actors.builders import tasks_from_probes
from bessemer.actors.builders.base import BuildResult
from bessemer.actors.judging import (
    candidate_side,
    gate,
    goal_task,
    may_rise,
    mixed_passes,
    route,
)
from bessemer.actors.judging.types import CriteriaSet, GuardVerdict, Task
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewer_host import Reviewed, ReviewJob
from bessemer.actors.reviewers import (
    Evaluation,
    PanelEvaluation,
    ProcessReport,
    RaisedCriteria,
    Subject,
    agreeing,
    merge,
    order_swapped,
)
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.run import Step
from bessemer.cluster.workspace import Repository
from bessemer.pipelines.refine import _people as people
from bessemer.pipelines.refine._plan import Answer, Submission, Work
from bessemer.pipelines.refine._records import score_rows, verdict_row, verdict_rows
from bessemer.pipelines.refine._state import Progress

MAX_FINDING_TASKS = 24

T = TypeVar("T")
Kind = Literal["evaluate", "trace", "compare", "criteria", "raise"]


def first_tasks(progress: Progress) -> list[Task]:
    """The first round's work: what the probes report, one finding at a time, or the user's task as a whole."""
    if progress.works_off_findings and (found := tasks_from_findings(progress)):
        return found
    focus = (progress.plan.focus,) if progress.plan.focus else ()
    return [goal_task(progress.plan.task, "fix", progress.criteria).model_copy(update={"files": focus})]


def tasks_from_findings(progress: Progress) -> list[Task]:
    """A task for every finding of the accepted work, those tried least first."""
    return tasks_from_probes(list(progress.measured), progress.attempts, MAX_FINDING_TASKS)


async def write_criteria(progress: Progress, work: Work) -> CriteriaSet | None:
    """3-7 criteria by a model that may judge; None where it did not manage."""

    async def write(step: Step) -> CriteriaSet:
        async with exported(progress, work.commit) as tree:
            subject = await _subject(progress, tree, work.baseline, CriteriaSet(source="written", criteria=()))
            reviewed = await _review(progress, step, "criteria", subject=subject, probes=work.probes)
        return reviewed.criteria or CriteriaSet(source="written", criteria=())

    progress.crew.people.tell("step", name="writing criteria")
    written = await progress.run.step("criteria", write, result=CriteriaSet)
    return written if written.criteria else None


async def raise_criteria(progress: Progress, submission: Submission, evaluation: Evaluation) -> CriteriaSet | None:
    """What is asked from now on of work that meets its criteria; None where nothing more is."""
    plan, number = progress.plan, progress.number
    scores = {one.criterion: one.score for one in evaluation.verdict.scores}
    wanted = plan.evolve_criteria and plan.eval_backend and number < plan.max_rounds
    if not wanted or not may_rise(scores, len(progress.raised)):
        return None

    async def propose(step: Step) -> RaisedCriteria:
        subject = await _submitted(progress, submission, progress.agreed)
        return needed((await _review(progress, step, "raise", subject=subject, scores=scores)).raised)

    progress.crew.people.tell("step", name="raising criteria")
    raised = await progress.run.step(f"round-{number}/raise", propose, result=RaisedCriteria)
    if raised.criteria is None:
        progress.crew.people.tell(
            "notice", text=f"the criteria stay as they are: {raised.why or 'nothing was proposed'}"
        )
        return None
    progress.files.keep_criteria(number)
    progress.files.write_criteria(raised.criteria)
    progress.raised.append(number)
    progress.criteria = raised.criteria
    progress.crew.people.tell("criteria", criteria=[f"{one.id} {one.text}" for one in raised.criteria.criteria])
    return raised.criteria


async def evaluate(progress: Progress, submission: Submission, criteria: CriteriaSet) -> Evaluation:
    """Judge a submission: verdict, critique, and what to do next."""
    number = progress.number

    async def judge(step: Step) -> Evaluation:
        subject = await _submitted(progress, submission, criteria)
        reviewed = await _review(progress, step, "evaluate", subject=subject, attempts=progress.attempts)
        found = needed(reviewed.evaluation)
        step.record(*verdict_rows(step.ticket, number, criteria, found, submission.commit))
        return found

    progress.crew.people.tell("step", name="judging")
    if progress.plan.more_judges:
        evaluation = await evaluate_by_many(progress, submission, criteria)
    else:
        evaluation = await progress.run.step(f"round-{number}/evaluate", judge, result=Evaluation)
    progress.files.write_evaluation(number, evaluation.verdict, evaluation.critique_md, evaluation.next_tasks)
    return evaluation


async def evaluate_by_many(progress: Progress, submission: Submission, criteria: CriteriaSet) -> Evaluation:
    """Every judge scores every criterion by itself; code merges: harshest score, every finding once."""
    number, judges = progress.number, progress.plan.judges
    subject = await _submitted(progress, submission, criteria)

    async def one(place: int, backend: str) -> Evaluation:
        async def judge(step: Step) -> Evaluation:
            mine = order_swapped(subject, place)
            reviewed = await _review(progress, step, "evaluate", backend=backend, subject=mine)
            found = needed(reviewed.evaluation)
            step.record(*score_rows(step.ticket, number, criteria, found, submission.commit))
            return found

        return await progress.run.step(f"round-{number}/evaluate/judge-{place + 1}", judge, result=Evaluation)

    async def together(step: Step) -> PanelEvaluation:
        # The criteria in their own order, and the resampling of the interval away from the loop.
        merged = await asyncio.to_thread(merge, subject, found, judges, progress.plan.build_backend)
        agree = agreeing(merged.evaluation.verdict, merged.panel)
        row = verdict_row(
            step.ticket, number, criteria, merged.evaluation, submission.commit, judges=len(judges), agreeing=agree
        )
        step.record(row)
        return merged

    found = await _all_or_first_error(one(place, backend) for place, backend in enumerate(judges))
    merged = await progress.run.step(f"round-{number}/evaluate", together, result=PanelEvaluation)
    progress.panel = merged.panel
    progress.files.write_panel(number, merged.panel.model_dump(mode="json"))
    for biased in merged.panel.self_preference:
        by = "" if biased.difference is None else f": its scores are {biased.difference:+.1f} from the others'"
        progress.crew.people.tell("notice", text=f"{biased.judge} judges what it built itself{by}")
    return merged.evaluation


async def _all_or_first_error(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results, in order; or, once everything has ended, the first error."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return [result for result in done if not isinstance(result, BaseException)]


async def _submitted(progress: Progress, submission: Submission, criteria: CriteriaSet) -> Subject:
    changed = await Repository(progress.repository).changed(progress.taken_in.commit, submission.commit)
    tree = str(progress.files.round(progress.number) / "deliverables")
    return await _subject(progress, tree, submission.probes, criteria, tuple(changed))


async def trace(progress: Progress, answer: Answer) -> ProcessReport:
    """How the work was done, whatever it is worth."""

    async def analyze(step: Step) -> ProcessReport:
        reviewed = await _review(
            progress,
            step,
            "trace",
            builds=answer.builds,
            tried=len(answer.tried),
            accepted=len(answer.accepted),
            token=await _token(progress),
        )
        return needed(reviewed.process)

    process = await progress.run.step(f"round-{progress.number}/trace", analyze, result=ProcessReport)
    progress.files.write_process(progress.number, process.verdict, process.report_md)
    return process


async def compare(progress: Progress, answer: Answer, attempt: int) -> GuardVerdict:
    """The regression guard: the last submission against the new answer, blind where a model looks."""
    previous = progress.submissions[-1]
    path = f"round-{progress.number}/guard-{attempt}"

    async def look(step: Step) -> GuardVerdict:
        before = str(progress.files.round(previous.number) / "deliverables")
        async with exported(progress, answer.commit) as after:
            reviewed = await _review(
                progress,
                step,
                "compare",
                subject=await _subject(progress, after, answer.probes, progress.agreed),
                previous=await _subject(progress, before, previous.probes, progress.agreed),
                candidate_is=candidate_side(f"{previous.commit}/{answer.commit}/{path}"),
            )
        return needed(reviewed.guard)

    progress.crew.people.tell("step", name="guarding")
    verdict = await progress.run.step(path, look, result=GuardVerdict)
    progress.crew.people.tell("guard", verdict=verdict.verdict, note=verdict.summary)
    return verdict


async def mixed_may_pass(progress: Progress, verdict: GuardVerdict, attempt: int) -> bool:
    """A mixed verdict: the user decides where one may be asked, else the rule does."""
    if verdict.verdict != "mixed":
        return False
    if progress.plan.confirm_each_round:
        return await people.settle_mixed(progress, verdict, attempt)
    return mixed_passes(verdict, progress.agreed).passes


def regression_task(verdict: GuardVerdict, attempt: int) -> Task:
    """What goes back to building when the guard refuses an answer."""
    lost = ", ".join(verdict.lost)
    return Task(
        id=f"regression-{attempt}",
        description=f"The new version lost what the previous one had ({lost}): {verdict.summary} Restore it.",
        priority="high",
        success_criteria=f"{lost} is at least as good as before, and nothing that was won is given up",
    )


def next_tasks(progress: Progress, evaluation: Evaluation) -> list[Task]:
    """The next round's work, in the order that the ceiling status asks for."""
    if progress.works_off_findings:
        return tasks_from_findings(progress)
    if evaluation.next_tasks is None:
        return [goal_task(progress.plan.task, "fix", progress.criteria)]
    routed = route(evaluation.next_tasks)
    if routed.ceiling_reached:
        why = evaluation.next_tasks.approach_assessment.ceiling_explanation
        progress.crew.people.tell("ceiling", text=f"this approach has reached its ceiling: {why}")
    material = gate(routed.tasks)
    if material.kind == "only_incremental":
        progress.crew.people.tell("notice", text=material.message)
    return routed.tasks


def split(task: Task, candidates: list[BuildResult]) -> list[Task]:
    """The parts a builder asked for when a task held more than one deliverable; parts are not split again."""
    plan = next((one.split_plan for one in candidates if one.status == "split_required" and one.split_plan), ())
    if "-part-" in task.id:
        return []
    return [
        task.model_copy(update={"id": f"{task.id}-part-{number}", "description": text, "files": ()})
        for number, text in enumerate(plan, start=1)
    ]


@contextlib.asynccontextmanager
async def exported(progress: Progress, commit: str) -> AsyncIterator[str]:
    """A commit as a plain folder, for as long as it is looked at."""
    place = progress.scratch(f"look-{commit[:12]}")
    try:
        await Repository(progress.repository).export_tree(commit, place, replace=True)
        yield str(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def needed(found: T | None) -> T:
    """What a reviewer host must have answered for the kind of job it was given."""
    if found is None:
        raise ClusterError("a reviewer host answered a job without its result; restart it with `bessemer cluster down`")
    return found


async def _review(progress: Progress, step: Step, kind: str, backend: str | None = None, **material: Any) -> Reviewed:
    job = ReviewJob(
        ticket=step.ticket,
        kind=cast(Kind, kind),
        backend=progress.plan.eval_backend if backend is None else backend,
        round=progress.number,
        **material,
    )
    return await progress.crew.review(step, job)


async def _subject(
    progress: Progress, tree: str, probes: tuple[ProbeResult, ...], criteria: CriteriaSet, changed: tuple[str, ...] = ()
) -> Subject:
    return Subject(
        goal=progress.plan.task,
        tree=tree,
        criteria=criteria,
        probes=probes,
        changed=changed,
        token=await _token(progress),
        not_verified=progress.taken_in.not_verified if progress.work else (),
    )


async def _token(progress: Progress) -> str:
    """The delimiter of reviewed content: random, drawn once for the run, the same for every reviewer."""
    return str(await progress.run.observe("delimiter", lambda: secrets.token_hex(8)))
