"""The method, in the order it happens."""

from __future__ import annotations

import asyncio

from bessemer.actors.crew import RunCrew
from bessemer.cluster.run import Run
from bessemer.pipelines.refine import _judge as judge
from bessemer.pipelines.refine import _people as people
from bessemer.pipelines.refine._ending import conclude, reaching_an_end
from bessemer.pipelines.refine._hand_off import hand_off, remember
from bessemer.pipelines.refine._plan import RefineOutcome, RefinePlan
from bessemer.pipelines.refine._produce import guard, produce, submit
from bessemer.pipelines.refine._setup import agree_on_criteria, recognise, set_up
from bessemer.pipelines.refine._state import Progress


async def refine(run: Run, crew: RunCrew, plan: RefinePlan) -> RefineOutcome:
    """Refine the work at `plan.source` until it converges, stops gaining, or rounds, time or money run out."""
    progress = Progress(run, crew, plan)
    async with reaching_an_end(progress):
        work = progress.work = await set_up(progress)
        progress.criteria = await agree_on_criteria(progress, work)
        tasks = judge.first_tasks(progress)

        for number in range(1, plan.max_rounds + 1):
            await progress.begin_round(number)
            answer = await produce(progress, tasks)
            answer = await recognise(progress, answer)
            answer = await guard(progress, answer)
            submission = await submit(progress, answer)

            evaluation, process = await asyncio.gather(
                judge.evaluate(progress, submission, progress.agreed),
                judge.trace(progress, answer),
            )
            await progress.end_round(answer, submission, evaluation)
            remember(progress, process)

            ending = progress.ending(evaluation)
            if ending == "converged" and await judge.raise_criteria(progress, submission, evaluation):
                ending = None
            if ending:
                return await conclude(progress, ending)
            await people.confirm_next_round(progress, evaluation)
            tasks = judge.next_tasks(progress, evaluation)
            hand_off(progress, evaluation)

        return await conclude(progress, "max_rounds")
    return await conclude(progress, progress.stopped_by)
