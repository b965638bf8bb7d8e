"""The work is taken in, and what is asked of it is agreed on."""

from __future__ import annotations

from pathlib import Path

from bessemer.actors.apart import Measurement
from bessemer.actors.judging import bind_to_probes, criteria_from_probes
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.probes import classify, not_verified, probes_for
from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.run import Step
from bessemer.cluster.workspace import IntakeLimits, Repository, take_in
from bessemer.pipelines.refine import _judge as judge
from bessemer.pipelines.refine import _people as people
from bessemer.pipelines.refine._plan import Answer, Work
from bessemer.pipelines.refine._records import probe_rows
from bessemer.pipelines.refine._state import Progress


async def set_up(progress: Progress) -> Work:
    """Copy what the user sees into the run's private repository and measure it once."""
    run, plan = progress.run, progress.plan

    async def take(step: Step) -> Work:
        # Hosts need seconds to come up: they do it beside each other, and a run that is only replayed needs none.
        await progress.crew.warm_up(builds=bool(plan.build_backend))
        limits = IntakeLimits(max_file_bytes=plan.max_file_bytes)
        builds = bool(plan.build_backend)
        intake = await take_in(Path(plan.source), progress.repository, limits=limits, existing_ok=True, empty_ok=builds)
        work = await look_at(progress, intake.commit, intake.files)
        step.record(*probe_rows(step.ticket, 0, intake.commit, work.baseline))
        return work

    work = await run.step("setup", take, result=Work)
    progress.accepted, progress.measured = work.commit, work.baseline
    progress.crew.people.tell("taken_in", files=len(work.files), probes=list(work.probes), klass=work.klass)
    progress.tell_measured("before", work.baseline)
    return work


async def look_at(progress: Progress, commit: str, files: tuple[str, ...]) -> Work:
    """What kind of work the files of a commit are, and what the probes for that kind say of it."""
    plan = progress.plan
    relevant = [plan.focus] if plan.focus else list(files)
    klass = classify(relevant)
    probes = plan.probes or tuple(probes_for(relevant, klass))
    baseline = await measure(progress, commit, probes)
    unverified = tuple(not_verified(klass, baseline))
    return Work(commit=commit, files=files, klass=klass, probes=probes, not_verified=unverified, baseline=baseline)


async def recognise(progress: Progress, answer: Answer) -> Answer:
    """What was built where nothing was: from now on it has a kind, and the probes for that kind."""
    before = progress.taken_in
    if before.files:
        return answer

    async def look(step: Step) -> Work:
        files = await Repository(progress.repository).files(answer.commit)
        return await look_at(progress, answer.commit, tuple(files))

    found = await progress.run.step(f"round-{progress.number}/recognise", look, result=Work)
    progress.work = found.model_copy(update={"commit": before.commit, "baseline": before.baseline})
    progress.measured = found.baseline
    progress.criteria = bind_to_probes(progress.agreed, found.probes)
    progress.files.write_criteria(progress.criteria)
    progress.crew.people.tell("recognised", files=len(found.files), probes=list(found.probes), klass=found.klass)
    return answer.model_copy(update={"probes": found.baseline})


async def agree_on_criteria(progress: Progress, work: Work) -> CriteriaSet:
    """The user's criteria, a file's or a preset's; else written by a model that may judge; else the probes'."""
    plan = progress.plan
    chosen = plan.criteria
    if chosen is None and plan.eval_backend:
        chosen = await judge.write_criteria(progress, work)
    if chosen is None:
        chosen = criteria_from_probes(work.probes)
    chosen = bind_to_probes(chosen, work.probes)
    progress.files.write_criteria(chosen)
    if plan.confirm_criteria:
        chosen = await people.confirm_criteria(progress, chosen)
    progress.crew.people.tell("criteria", criteria=[f"{one.id} {one.text}" for one in chosen.criteria])
    return chosen


async def measure(
    progress: Progress, commit: str, probes: tuple[str, ...], artefacts: str = ""
) -> tuple[ProbeResult, ...]:
    """Run probes on a commit."""
    if not probes:
        return ()
    work = Measurement(
        run=progress.run.id,
        repository=str(progress.repository),
        commit=commit,
        worktree=str(progress.scratch(f"measure-{commit[:12]}")),
        probes=probes,
        interpreter=progress.plan.interpreter,
        timeout=progress.plan.probe_timeout,
        artefacts=artefacts,
    )
    return await progress.crew.measure(work)
