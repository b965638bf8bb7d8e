"""The places where a person is asked, all of them off by default; each answer is journalled."""

from __future__ import annotations

from bessemer.actors.judging.types import CriteriaSet, GuardVerdict
from bessemer.actors.reviewers import Evaluation
from bessemer.cluster.errors import Cancelled
from bessemer.pipelines.refine._state import Progress


async def confirm_criteria(progress: Progress, chosen: CriteriaSet) -> CriteriaSet:
    """Show the criteria; they may be edited in `criteria.json` before they are accepted."""
    path = progress.files.criteria
    text = "\n".join(f"{one.id} [{one.category}] {one.text}" for one in chosen.criteria)

    async def put() -> object:
        words = f"Criteria:\n{text}\nEdit {path} if you wish, then accept."
        answer = await progress.crew.people.ask("criteria", words, ("accept", "stop"), "accept")
        return progress.files.read_criteria().model_dump(mode="json") if answer == "accept" else "stop"

    kept = await progress.run.observe("confirm-criteria", put)
    if kept == "stop":
        raise Cancelled("the criteria were not accepted")
    agreed = CriteriaSet.model_validate(kept)
    return agreed if agreed.criteria != chosen.criteria else chosen


async def confirm_next_round(progress: Progress, evaluation: Evaluation) -> None:
    """Ask before iterating, where the user asked to be asked. Raises Cancelled on `stop`."""
    if not progress.plan.confirm_each_round or progress.number >= progress.plan.max_rounds:
        return
    words = f"Round {progress.number}: {evaluation.verdict.explanation}\nGo on with round {progress.number + 1}?"
    answer = await progress.run.observe(
        f"confirm-round-{progress.number}",
        lambda: progress.crew.people.ask(f"round-{progress.number}", words, ("continue", "stop"), "continue"),
    )
    if answer == "stop":
        raise Cancelled("stopped after a round, as asked")


async def settle_mixed(progress: Progress, verdict: GuardVerdict, attempt: int) -> bool:
    """Let the user weigh what was won against what was lost."""
    words = (
        f"The new version is better in {', '.join(verdict.won) or 'nothing'} and worse in "
        f"{', '.join(verdict.lost) or 'nothing'}. Submit it?"
    )
    name = f"round-{progress.number}/mixed-{attempt}"
    answer = await progress.run.observe(
        name, lambda: progress.crew.people.ask(name, words, ("submit", "rebuild"), "rebuild")
    )
    return bool(answer == "submit")
