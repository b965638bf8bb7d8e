"""Answer production: builders on independent tasks, candidates at each, and only what measures better is kept.

Build, verify, fix, verify again: for work that probes describe, a round goes on until every finding was tried once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bessemer.actors.builders import best, settles
from bessemer.actors.builders.base import BuildRequest, BuildResult
from bessemer.actors.judging import SubmissionFile
from bessemer.actors.judging.types import Task
from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.run import Step
from bessemer.cluster.workspace import Repository
from bessemer.pipelines.refine import _judge as judge
from bessemer.pipelines.refine._plan import Answer, Merged, Submission
from bessemer.pipelines.refine._records import build_row, probe_rows
from bessemer.pipelines.refine._setup import measure
from bessemer.pipelines.refine._state import Progress

MAX_TASKS_A_ROUND = 24
GUARD_RETRIES = 2
"""How often a round goes back to building after the guard refused its answer."""


async def produce(progress: Progress, tasks: list[Task], label: str = "build") -> Answer:
    """Work off a round's tasks. Candidates of a task, and tasks that touch different things, run beside each other."""
    queue = list(tasks)
    tried: list[str] = []
    builds: list[BuildResult] = []
    accepted: list[str] = []
    while queue and len(tried) < MAX_TASKS_A_ROUND:
        batch = _independent(queue, tried)[: progress.plan.builders]
        base, baseline = progress.accepted, progress.measured
        found = await asyncio.gather(*(_build(progress, task, base, baseline, label) for task in batch))
        builds += [candidate for candidates, _ in found for candidate in candidates]
        winners = {task.id: winner for task, (_, winner) in zip(batch, found, strict=True) if winner is not None}
        merged = await _merge(progress, f"{label}/merge-{len(tried)}", base, baseline, winners)
        await progress.accept(merged.commit, merged.probes)
        accepted += merged.taken
        tried += [task.id for task in batch]
        progress.count_attempts(batch)
        queue = _still_open(progress, queue, batch, found, tried)
    return Answer(
        commit=progress.accepted,
        probes=progress.measured,
        tried=tuple(tried),
        accepted=tuple(accepted),
        builds=tuple(builds),
    )


async def guard(progress: Progress, answer: Answer) -> Answer:
    """No submission may lose what the one before had. Skipped in the first round."""
    if not progress.submissions:
        return answer
    for attempt in range(GUARD_RETRIES + 1):
        verdict = await judge.compare(progress, answer, attempt)
        if verdict.verdict == "pass" or await judge.mixed_may_pass(progress, verdict, attempt):
            return answer.model_copy(update={"guard": verdict})
        if attempt == GUARD_RETRIES:
            break
        again = await produce(progress, [judge.regression_task(verdict, attempt)], f"guard-{attempt}")
        answer = again.model_copy(
            update={
                "tried": answer.tried + again.tried,
                "accepted": answer.accepted + again.accepted,
                "builds": answer.builds + again.builds,
            }
        )
    previous = progress.submissions[-1]
    progress.crew.people.tell("guard", verdict="fail", note="the previous submission stands")
    await progress.accept(previous.commit, previous.probes)
    return answer.model_copy(update={"commit": previous.commit, "probes": previous.probes, "guard": verdict})


async def submit(progress: Progress, answer: Answer) -> Submission:
    """Snapshot the answer under `round_NNN/`; what is judged is this, not what a builder says of it."""
    number = progress.number

    async def snapshot(step: Step) -> Submission:
        directory = progress.files.round(number)
        repository = Repository(progress.repository)
        await repository.export_tree(answer.commit, directory / "deliverables", replace=True)
        probes = await measure(progress, answer.commit, progress.taken_in.probes, str(directory / "artefacts"))
        progress.files.write_submission(
            SubmissionFile(
                round=number,
                commit=answer.commit,
                tree=await repository.tree(answer.commit),
                files=_hashes(directory / "deliverables"),
                probes=probes,
                tasks=answer.accepted,
            )
        )
        step.record(*probe_rows(step.ticket, number, answer.commit, probes))
        return Submission(number=number, commit=answer.commit, probes=probes, directory=str(directory))

    submission = await progress.run.step(f"round-{number}/submit", snapshot, result=Submission)
    progress.submissions.append(submission)
    progress.measured = submission.probes
    progress.tell_measured("after", submission.probes)
    return submission


def _hashes(directory: Path) -> dict[str, str]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(directory)): content_hash(path.read_bytes()) for path in files}


async def _build(
    progress: Progress, task: Task, base: str, baseline: tuple[ProbeResult, ...], label: str
) -> tuple[list[BuildResult], BuildResult | None]:
    """Every candidate of one task, and the best of them if it is better than what there is."""
    plan, number = progress.plan, progress.number
    progress.crew.people.tell("task", task=task.id, text=task.description, candidates=plan.candidates)

    async def candidate(k: int) -> BuildResult:
        path = f"round-{number}/{label}/{task.id}/candidate-{k}"
        request = BuildRequest(
            goal=plan.task,
            task=task,
            candidate=k + plan.candidates * progress.attempts.get(task.id, 0),
            backend=plan.build_backend,
            repository=str(progress.repository),
            base=base,
            worktree=str(progress.scratch(f"{task.id}-{k}")),
            criteria=progress.criteria.criteria if progress.criteria else (),
            hand_off=progress.hand_off,
            probes=progress.taken_in.probes,
            baseline=baseline,
            interpreter=plan.interpreter,
            max_output_tokens=plan.max_output_tokens,
        )

        async def work(step: Step) -> BuildResult:
            result = await progress.crew.build(step, request)
            spent = await progress.crew.spending(path)
            step.record(build_row(step.ticket, plan.build_backend, result, spent))
            return result

        return await progress.run.step(path, work, result=BuildResult)

    candidates = [await candidate(0)]
    if not settles(candidates[0], task.finding_codes, task.probe, baseline):
        # Most findings fall to the first try, and on a small machine more at once would take longer than one.
        candidates += await asyncio.gather(*(candidate(k) for k in range(1, plan.candidates)))
    winner = best(candidates, baseline, must_improve=not plan.eval_backend)
    why = next((one.failure.message for one in candidates if one.failure), "") if winner is None else ""
    progress.crew.people.tell("built", task=task.id, kept=winner is not None, tries=len(candidates), why=why)
    return candidates, winner


async def _merge(
    progress: Progress, label: str, base: str, baseline: tuple[ProbeResult, ...], winners: dict[str, BuildResult]
) -> Merged:
    """Combine what independent builders changed; a change that conflicts or makes the whole worse stays out."""
    if not winners:
        return Merged(commit=base, probes=baseline)
    if len(winners) == 1:
        ((task, winner),) = winners.items()
        return Merged(commit=winner.commit, probes=winner.probes, taken=(task,))

    async def combine(step: Step) -> Merged:
        repository = Repository(progress.repository)
        commit, probes, taken, left = base, baseline, [], []
        for task, winner in sorted(winners.items()):
            merge = await repository.merge(base, commit, winner.commit)
            after = await measure(progress, merge.commit, progress.taken_in.probes) if merge.commit else ()
            worse = any(new.falls_behind(old) for new, old in zip(after, probes, strict=False))
            if not merge.commit or worse:
                left.append(task)
                continue
            commit, probes = merge.commit, after
            taken.append(task)
        return Merged(commit=commit, probes=probes, taken=tuple(taken), left=tuple(left))

    return await progress.run.step(f"round-{progress.number}/{label}", combine, result=Merged)


def _independent(queue: list[Task], tried: list[str]) -> list[Task]:
    """Tasks that may run beside each other: dependencies done, and no two about the same file unless both name none."""
    ready = [task for task in queue if set(task.depends_on) <= set(tried)] or queue[:1]
    chosen: list[Task] = []
    for task in ready:
        clash = any(_same_ground(task, other) for other in chosen)
        if not clash:
            chosen.append(task)
    return chosen


def _same_ground(one: Task, other: Task) -> bool:
    if not one.files or not other.files:
        return True
    if one.probe and other.probe:
        return set(one.finding_codes) == set(other.finding_codes)
    return bool(set(one.files) & set(other.files))


def _still_open(
    progress: Progress,
    queue: list[Task],
    batch: list[Task],
    found: list[tuple[list[BuildResult], BuildResult | None]],
    tried: list[str],
) -> list[Task]:
    """What is left of the round: for findings of probes what still fails and was not tried, else what was planned."""
    rest = [task for task in queue if task not in batch]
    for task, (candidates, winner) in zip(batch, found, strict=True):
        if winner is None:
            rest += judge.split(task, candidates)
    if progress.works_off_findings:
        return [task for task in judge.tasks_from_findings(progress) if task.id not in tried]
    return rest
