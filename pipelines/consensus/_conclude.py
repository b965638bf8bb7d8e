"""How a consensus ends: what was decided, by whom, with what doubt, for how much, and what more money would buy."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bessemer.cluster.errors import BessemerError, BudgetExhausted, Cancelled, DeadlineExceeded
from bessemer.cluster.money import format_usd
from bessemer.pipelines._base import ENDINGS, Ending
from bessemer.pipelines.consensus._acts import Answered, dropped_agents
from bessemer.pipelines.consensus._count import Decision, count, not_heard, stands_for, to_ask
from bessemer.pipelines.consensus._files import RESULT
from bessemer.pipelines.consensus._panel import Panel
from bessemer.pipelines.consensus._plan import AgentSummary, ConsensusOutcome, Doubt, Heard, NextDollar
from bessemer.pipelines.consensus._records import vote_rows
from bessemer.pipelines.planning import MODES, keep_document

SETTLE_SECONDS = 20.0
"""How long calls that nobody needs any more are waited for, so that their cost is known."""
_Z = 1.959964
"""Of a 95 % interval."""


@contextlib.asynccontextmanager
async def reaching_an_end(panel: Panel) -> AsyncIterator[None]:
    """Turns what stops a consensus from outside (budget, deadline, cancellation) into `panel.stopped_by`."""
    limit = panel.plan.time_budget
    left = None if limit is None else limit - await panel.run.elapsed("began")
    try:
        async with asyncio.timeout(left):
            yield
    except BudgetExhausted as refusal:
        panel.stopped_by, panel.explanation = "budget", refusal.message
    except (TimeoutError, DeadlineExceeded):
        panel.stopped_by = "deadline"
        panel.explanation = f"the time budget of {limit or 0:.0f} s is used up"
    except (asyncio.CancelledError, Cancelled):
        panel.stopped_by = "cancelled"
        if (task := asyncio.current_task()) is not None:
            task.uncancel()


async def conclude(panel: Panel, ending: Ending) -> ConsensusOutcome:
    """Write the result and say how it was come by."""
    await _let_settle(panel, cancel=ending == "cancelled")
    run, plan, decision = panel.run, panel.plan, panel.decision
    answer = panel.answers.get(decision.answer) if decision is not None else None
    files = panel.mode.files(answer) if answer is not None else {}
    final = decision if ENDINGS[ending].status == "done" else None
    # What was only ahead when the run was stopped may still lose once it is resumed.
    plan_id = await _keep(panel, answer) if final is not None and answer is not None and plan.plans_root else ""
    await _record_votes(panel, final)
    spent = await panel.crew.spending()
    biases = [one.position_bias for one in panel.heard if one.position_bias is not None]
    outcome = ConsensusOutcome(
        run=run.id,
        ending=ending,
        explanation=panel.explanation or _explained(panel, decision, ending),
        **spent.model_dump(),
        mode=plan.mode,
        task=plan.task,
        decision=decision,
        answer=answer,
        by=tuple(sorted({one.backend for one in panel.heard if _wrote(one, decision)})),
        agents=_agents(panel, decision),
        doubt=doubt_of(decision) if decision is not None and decision.answer else None,
        saved=panel.saved,
        next_dollar=await _next_dollar(panel, decision),
        position_bias=round(sum(biases) / len(biases), 3) if biases else None,
        rounds=max((one.act.round for one in panel.heard), default=0),
        result=str(panel.files.directory / RESULT) if files else "",
        directory=str(panel.files.directory),
        files=tuple(sorted(files, key=lambda name: name != RESULT)),
        plan_id=plan_id,
        seconds=round(run.worked(), 1),
    )
    await panel.end_status()
    await asyncio.to_thread(panel.files.write_end, outcome, files, plan, panel.number, list(panel.heard), run.directory)
    return outcome


async def _record_votes(panel: Panel, final: Decision | None) -> None:
    """A row for every turn, once: together where the run's first end is its last, which is cheaper; else one by one.

    A run that goes on after its first end adds its further turns and repeats none. One that decided, was lost before it
    could say so, and is stopped while it is replayed, leaves its rows to the execution that comes to the end again.
    """
    rows = vote_rows(panel.run.id, panel.heard, panel.history, final)
    one_by_one = await panel.run.observe("votes_one_by_one", lambda: final is None)
    if one_by_one:
        await asyncio.gather(*(panel.run.record(f"votes/{row.row['path']}", row) for row in rows))
    elif final is not None:
        await panel.run.record("votes", *rows)


async def _let_settle(panel: Panel, *, cancel: bool) -> None:
    if not panel.stragglers:
        return
    if cancel:
        for task in panel.stragglers:
            task.cancel()
    panel.crew.people.tell("step", name=f"{len(panel.stragglers)} calls that were sent are being settled")
    done, late = await asyncio.wait(panel.stragglers, timeout=SETTLE_SECONDS)
    for task in done:
        with contextlib.suppress(BessemerError, asyncio.CancelledError):
            task.result()
    if late:
        # What they cost is in doubt until they answer; the ledger takes that also when the run is over.
        panel.run.let_go()
        for task in late:
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def _keep(panel: Panel, answer: Any) -> str:
    """Keep the decided plan or specification like one that a single model wrote. Its id."""
    document, problems = MODES[panel.plan.mode].read(answer)
    if document is None:
        raise ValueError(f"a decided answer does not pass its own checks: {'; '.join(problems)}")
    root = Path(panel.plan.plans_root)
    folder = await keep_document(panel.run, root, document, prompt=panel.plan.task, mode="multi")
    return folder.id


def doubt_of(decision: Decision) -> Doubt:
    """The share of the electorate behind the decision, with its 95 % Wilson score interval."""
    n = max(decision.electorate, 1)
    share = min(decision.votes / n, 1.0)
    middle = share + _Z**2 / (2 * n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    low, high = ((middle - half) / (1 + _Z**2 / n), (middle + half) / (1 + _Z**2 / n))
    return Doubt(
        votes=decision.votes,
        electorate=decision.electorate,
        counted=decision.counted,
        low=round(max(low, 0.0), 3),
        high=round(min(high, 1.0), 3),
    )


def _explained(panel: Panel, decision: Decision | None, ending: Ending) -> str:
    if decision is None or not decision.answer:
        return "no agent gave an answer" if ending == "not_judged" else ENDINGS[ending].words
    if len(panel.plan.backends) == 1:
        return "one backend was asked, so its answer stands; nobody else looked at it"
    split = f"{decision.votes} of {decision.electorate} agents stand for it"
    tie = {"": "", "score": ", a tie broken by score", "hash": ", a tie broken by content hash"}
    how = {
        "agreement": f"the same answer was written independently: {split}",
        "score": "each of two agents scored the other's answer; the higher score won"
        + tie.get(decision.tie_broken_by, ""),
        "posterior": f"{split}; by their records and a model of agents it is wrong in "
        f"{100 * (decision.error or 0):.1f} % of cases",
        "only_answer": "there is no other answer, and too few voted for it",
        "forced": f"forced without a majority after {decision.round} rounds: {split}"
        + tie.get(decision.tie_broken_by, ", a tie broken by who submitted first"),
    }
    return how.get(decision.how, f"decided by {decision.how}: {split}")


def _wrote(heard: Heard, decision: Decision | None) -> bool:
    return decision is not None and isinstance(heard.act, Answered) and heard.act.answer == decision.answer


def _agents(panel: Panel, decision: Decision | None) -> tuple[AgentSummary, ...]:
    found = count(panel.history, panel.rules, max(panel.number, 1))
    early = decision is not None and decision.how == "posterior"
    stand = stands_for(panel.history, found, max(panel.number, 1)) if early else found.voters
    gone = dropped_agents(panel.history, max(panel.number, 1))
    summaries = []
    for agent, backend in panel.backends.items():
        mine = sorted((one for one in panel.heard if one.act.agent == agent), key=lambda one: one.act.round)
        summaries.append(
            AgentSummary(
                agent=agent,
                backend=backend,
                value=panel.value(backend),
                answered=any(isinstance(one.act, Answered) for one in mine),
                stands_for_winner=decision is not None and stand.get(agent, "") == decision.answer != "",
                last=mine[-1].act.kind if mine else "not_asked",
                dropped=agent in gone,
            )
        )
    return tuple(summaries)


async def _next_dollar(panel: Panel, decision: Decision | None) -> NextDollar:
    """What more money would have bought, and the cheapest piece of it."""
    if decision is not None and decision.how == "posterior":
        return _votes_not_bought(panel)
    if decision is not None and not decision.forced and decision.answer and len(panel.plan.backends) > 1:
        return NextDollar(buys="nothing", text="nothing: votes still out could not change the decision")
    if len(panel.plan.backends) == 1:
        return NextDollar(buys="agents", text="a second backend, which would score this answer")
    dropped = dropped_agents(panel.history, max(panel.number, 1))
    waiting = [*to_ask(panel.history, panel.rules, panel.number + 1), *sorted(dropped)] if panel.number else []
    prices = [panel.last_worst[agent] for agent in waiting if agent in panel.last_worst]
    if not prices:
        return NextDollar(buys="nothing", text="nothing: every agent has voted, and more of the same changes no vote")
    if panel.stopped_by == "budget":
        text = f"the round that was not paid for: {len(waiting)} turns, the cheapest at most {format_usd(min(prices))}"
        return NextDollar(buys="votes", at_most=min(prices), text=text)
    text = f"another round of {len(waiting)} turns at most {format_usd(sum(prices))}; the rounds were used up"
    return NextDollar(buys="round", at_most=min(prices), text=text)


def _votes_not_bought(panel: Panel) -> NextDollar:
    """Of a decision below a majority: the turns of the round that were not needed for it."""
    waiting = not_heard(panel.history, panel.rules, panel.number)
    prices = [panel.last_worst[agent] for agent in waiting if agent in panel.last_worst]
    if not prices:
        return NextDollar(buys="nothing", text="nothing in this round: everybody has been heard")
    text = f"{len(waiting)} more turns; by the records they would hardly make the decision right more often"
    return NextDollar(buys="votes", at_most=min(prices), text=text)
