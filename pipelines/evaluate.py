"""Evaluate: judge work once. Verdict, critique and tasks; nothing is built."""

from __future__ import annotations

import json
from typing import ClassVar

from bessemer.actors.crew import RunCrew
from bessemer.actors.judging.types import CriteriaSet, Verdict
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewers import JudgePanel
from bessemer.cluster.files import write_atomic
from bessemer.cluster.records import RunRecord
from bessemer.cluster.run import Run
from bessemer.pipelines._base import ENDINGS, Ending, Outcome, Pipeline
from bessemer.pipelines.refine import RefinePlan
from bessemer.pipelines.refine import _judge as judge
from bessemer.pipelines.refine._ending import reaching_an_end
from bessemer.pipelines.refine._plan import Answer
from bessemer.pipelines.refine._produce import submit
from bessemer.pipelines.refine._setup import agree_on_criteria, set_up
from bessemer.pipelines.refine._state import Progress


class EvaluateOutcome(Outcome):
    """What a one-shot evaluation found, and where its files are."""

    kind: ClassVar[str] = "evaluate"
    criteria: CriteriaSet | None = None
    verdict: Verdict | None = None
    probes: tuple[ProbeResult, ...] = ()
    directory: str = ""
    """Absolute path of the run's files; the critique and the tasks are under `evaluations/round_001/`."""
    panel: JudgePanel | None = None
    """How far the judges agree, where there are several."""
    task: str = ""
    eval_backend: str = ""

    def record(self) -> RunRecord:
        about = {
            "task": self.task,
            "eval_backend": self.eval_backend or "probes",
            "rounds": 1,
            "criteria_hash": self.criteria.content_hash if self.criteria else None,
        }
        return super().record().model_copy(update=about)


ENDING_OF: dict[str, Ending] = {"converged": "passed", "iterate": "failed", "not_judged": "not_judged"}


async def evaluate(run: Run, crew: RunCrew, plan: RefinePlan) -> EvaluateOutcome:
    """Judge the work at `plan.source` against its criteria, once."""
    progress = Progress(run, crew, plan)
    verdict: Verdict | None = None
    ending: Ending = "cancelled"
    async with reaching_an_end(progress):
        work = progress.work = await set_up(progress)
        criteria = progress.criteria = await agree_on_criteria(progress, work)
        await progress.begin_round(1)
        submission = await submit(progress, Answer(commit=work.commit, probes=work.baseline))
        verdict = (await judge.evaluate(progress, submission, criteria)).verdict
    ending = ENDING_OF[verdict.verdict] if verdict else progress.stopped_by
    return await _conclude(progress, ending, verdict)


async def _conclude(progress: Progress, ending: Ending, verdict: Verdict | None) -> EvaluateOutcome:
    spent = await progress.crew.spending()
    outcome = EvaluateOutcome(
        run=progress.run.id,
        ending=ending,
        explanation=progress.explanation or (verdict.explanation if verdict else ENDINGS[ending].words),
        refused_by=progress.refused_by,
        **spent.model_dump(),
        criteria=progress.criteria,
        verdict=verdict,
        probes=progress.measured,
        directory=str(progress.run.directory),
        seconds=round(progress.run.worked(), 1),
        task=progress.plan.task,
        eval_backend=" ".join(progress.plan.judges),
        panel=progress.panel,
    )
    text = json.dumps(outcome.model_dump(mode="json"), indent=2) + "\n"
    write_atomic(progress.run.directory / "outcome.json", text.encode())
    return outcome


PIPELINE = Pipeline(plan=RefinePlan, outcome=EvaluateOutcome, run=evaluate)
