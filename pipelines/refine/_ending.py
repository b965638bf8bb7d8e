"""How a refinement ends: whatever was accepted is saved, whatever stopped it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from bessemer.cluster.errors import BudgetExhausted, Cancelled, DeadlineExceeded
from bessemer.cluster.files import write_atomic
from bessemer.cluster.money import format_usd
from bessemer.cluster.run import Run
from bessemer.cluster.workspace import Repository
from bessemer.pipelines._base import ENDINGS, Ending, Plan
from bessemer.pipelines.refine._plan import RefineOutcome
from bessemer.pipelines.refine._state import Progress


class Stoppable(Protocol):
    """A run's state, as far as being stopped is concerned."""

    run: Run
    stopped_by: Ending
    explanation: str
    refused_by: str
    """The scope whose cap ended it; empty where none did."""

    @property
    def plan(self) -> Plan: ...


@contextlib.asynccontextmanager
async def reaching_an_end(progress: Stoppable) -> AsyncIterator[None]:
    """Turns what stops a run from outside (budget, deadline, cancellation) into `progress.stopped_by`."""
    left = (
        None if progress.plan.time_budget is None else progress.plan.time_budget - await progress.run.elapsed("began")
    )
    try:
        async with asyncio.timeout(left):
            yield
    except BudgetExhausted as refusal:
        progress.stopped_by, progress.explanation = "budget", _refused(refusal)
        progress.refused_by = str(refusal.facts.get("scope", ""))
    except (TimeoutError, DeadlineExceeded):
        progress.stopped_by = "deadline"
        progress.explanation = f"the time budget of {progress.plan.time_budget or 0:.0f} s is used up"
    except (asyncio.CancelledError, Cancelled):
        progress.stopped_by = "cancelled"
        if (task := asyncio.current_task()) is not None:
            task.uncancel()


async def conclude(progress: Progress, ending: Ending) -> RefineOutcome:
    """Save the accepted work under `result/` and say how it ended."""
    work, run, plan = progress.work, progress.run, progress.plan
    if progress.raised and ending in ("max_rounds", "plateau", "not_judged"):
        # What was asked of the run is met; only what was asked on top of it is not.
        met = f"the criteria agreed on were met in round {progress.raised[0]}"
        progress.explanation = (
            f"{met}; raised {len(progress.raised)} times, they are not met again: {ENDINGS[ending].words}"
        )
        ending = "converged"
    result: str = ""
    changed: tuple[str, ...] = ()
    if work is not None:
        repository = Repository(progress.repository)
        target = run.directory / "result"
        await repository.export_tree(progress.accepted, target, replace=True)
        result, changed = str(target), tuple(await repository.changed(work.commit, progress.accepted))
    spent = await progress.crew.spending()
    outcome = RefineOutcome(
        run=run.id,
        ending=ending,
        explanation=progress.explanation or ENDINGS[ending].words,
        refused_by=progress.refused_by,
        **spent.model_dump(),
        criteria=progress.criteria,
        raised=tuple(progress.raised),
        before=work.baseline if work else (),
        after=progress.measured,
        rounds=tuple(progress.rounds),
        commit=progress.accepted,
        base=work.commit if work else "",
        changed_files=changed,
        result=result,
        directory=str(run.directory),
        not_verified=work.not_verified if work else (),
        seconds=round(run.worked(), 1),
        source=plan.source,
        task=plan.task,
        build_backend=plan.build_backend,
        eval_backend=" ".join(plan.judges),
    )
    _write(run.directory / "outcome.json", outcome)
    return outcome


def _write(path: Path, outcome: RefineOutcome) -> None:
    write_atomic(path, (json.dumps(outcome.model_dump(mode="json"), indent=2) + "\n").encode())


def _refused(refusal: BudgetExhausted) -> str:
    facts = refusal.facts
    left, needed, doubt = (int(facts.get(key, 0)) for key in ("left", "needed", "in_doubt"))
    words = (
        f"the next call may cost {format_usd(needed)} and {format_usd(left)} of {facts.get('scope', 'the cap')} is left"
    )
    return words + (f" ({format_usd(doubt)} is in doubt: `bessemer budget doubts`)" if doubt else "")
