"""What a refinement knows while it runs. Everything here is rebuilt by replay; nothing is read back from files."""

from __future__ import annotations

from pathlib import Path

from bessemer.actors.crew import RunCrew
from bessemer.actors.judging import RunFiles, plateau
from bessemer.actors.judging.types import CriteriaSet, Task
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewers import Evaluation, JudgePanel
from bessemer.cluster.run import Run
from bessemer.pipelines._base import Ending
from bessemer.pipelines.refine._accepted import journal_accepted
from bessemer.pipelines.refine._plan import Answer, RefinePlan, RoundSummary, Submission, Work
from bessemer.pipelines.refine._records import round_row


class Progress:
    """The run, its hosts and its plan, and how far the work has come."""

    def __init__(self, run: Run, crew: RunCrew, plan: RefinePlan) -> None:
        self.run = run
        self.crew = crew
        self.plan = plan
        self.files = RunFiles(run.directory)
        self.work: Work | None = None
        self.criteria: CriteriaSet | None = None
        self.number = 0
        self.submissions: list[Submission] = []
        self.evaluations: list[Evaluation] = []
        self.rounds: list[RoundSummary] = []
        self.accepted = ""
        """The last accepted commit: what is exported whenever the run ends."""
        self.measured: tuple[ProbeResult, ...] = ()
        """What the probes said of the accepted commit."""
        self.attempts: dict[str, int] = {}
        """How often each task was tried, so that stubborn ones wait and get other seeds."""
        self.stopped_by: Ending = "cancelled"
        self.explanation = ""
        self.refused_by = ""
        self.learnings: tuple[str, ...] = ()
        self.round_began = 0.0
        self.panel: JudgePanel | None = None
        """Of the newest evaluation, where several judges made it."""
        self.raised: list[int] = []
        """Rounds after which met criteria were raised."""
        self._scratch_count = 0
        self._accepted_count = 0

    @property
    def taken_in(self) -> Work:
        """The work, once set up."""
        if self.work is None:
            raise RuntimeError("the work is not taken in yet")
        return self.work

    @property
    def agreed(self) -> CriteriaSet:
        """The criteria, once agreed on."""
        if self.criteria is None:
            raise RuntimeError("the criteria are not agreed on yet")
        return self.criteria

    @property
    def repository(self) -> Path:
        """The run's private git repository."""
        return self.run.directory / "repository"

    def scratch(self, name: str) -> Path:
        """A fresh path for a worktree; not shared by any two pieces of work."""
        self._scratch_count += 1
        return self.run.directory / "scratch" / f"{name}-{self.run.epoch}-{self._scratch_count}"

    @property
    def works_off_findings(self) -> bool:
        """Whether tasks come from the probes' findings one by one, as a small model needs them."""
        return self.plan.works_off_findings

    @property
    def hand_off(self) -> tuple[str, ...]:
        """Files that tell this round's builders what the last one learnt; they are named, never summarised."""
        if self.number <= 1:
            return ()
        return (str(self.files.hand_off(self.number - 1)),)

    async def accept(self, commit: str, probes: tuple[ProbeResult, ...]) -> None:
        """Make a commit the base of what follows, journalled first so that a run killed here is forked from it."""
        if commit != self.accepted:
            self._accepted_count += 1
            await journal_accepted(self.run, self._accepted_count, commit)
        self.accepted, self.measured = commit, probes

    def count_attempts(self, tasks: list[Task]) -> None:
        for task in tasks:
            self.attempts[task.id] = self.attempts.get(task.id, 0) + 1

    async def begin_round(self, number: int) -> None:
        self.number = number
        self.round_began = await self.run.elapsed(f"round-{number}/begin")
        self.crew.people.tell("round", number=number, of=self.plan.max_rounds, seconds=round(self.round_began, 1))

    async def end_round(self, answer: Answer, submission: Submission, evaluation: Evaluation) -> None:
        """Add the round up for people and for the plateau rule."""
        seconds = await self.run.elapsed(f"round-{self.number}/end") - self.round_began
        spent = await self.crew.spending(f"round-{self.number}")
        verdict = evaluation.verdict
        self.evaluations.append(evaluation)
        summary = RoundSummary(
            number=self.number,
            commit=submission.commit,
            verdict=verdict.verdict,
            scores={score.criterion: score.score for score in verdict.scores},
            probes=submission.probes,
            tasks_tried=len(answer.tried),
            tasks_accepted=len(answer.accepted),
            guard=answer.guard.verdict if answer.guard else "skipped",
            seconds=round(seconds, 1),
            calls=spent.calls,
            input_tokens=spent.input_tokens,
            output_tokens=spent.output_tokens,
            cost=spent.cost,
            in_doubt=spent.in_doubt,
            ceiling=evaluation.next_tasks.approach_assessment.ceiling_status
            if evaluation.next_tasks
            else "ceiling_not_reached",
            panel=self.panel,
        )
        self.rounds.append(summary)
        await self.run.record(f"round-{self.number}", round_row(self.run.id, summary, self.agreed.content_hash))
        self.crew.people.tell("verdict", **summary.model_dump(mode="json", exclude={"probes", "panel"}))

    def ending(self, evaluation: Evaluation) -> Ending | None:
        """Whether this round's verdict, or the lack of gain since the last ones, ends the run."""
        verdict = evaluation.verdict
        if verdict.verdict == "converged":
            return "converged"
        if verdict.verdict == "not_judged":
            self.explanation = verdict.explanation
            return "not_judged"
        return "plateau" if plateau(self.comparable) else None

    @property
    def comparable(self) -> list[RoundSummary]:
        """The rounds that were judged by the criteria of now."""
        return self.rounds[self.raised[-1] :] if self.raised else self.rounds

    def tell_measured(self, when: str, probes: tuple[ProbeResult, ...]) -> None:
        facts = [{"probe": one.probe, "status": one.status, "summary": one.summary} for one in probes]
        self.crew.people.tell("measured", when=when, probes=facts)
