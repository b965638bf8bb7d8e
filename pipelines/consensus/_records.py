"""What a consensus leaves in the lake: a `votes` row for every turn of every agent."""

from __future__ import annotations

from collections.abc import Sequence

from bessemer.cluster.ledger.operations import LakeRecord
from bessemer.cluster.records import VoteRecord
from bessemer.pipelines.consensus._acts import Answered, Failed, History, Scored, Voted, standing_answers
from bessemer.pipelines.consensus._count import Decision, vote_state
from bessemer.pipelines.consensus._plan import Heard


def vote_rows(run: str, heard: Sequence[Heard], history: History, decision: Decision | None) -> list[LakeRecord]:
    """One row for each turn, in the order of rounds and agents. An answer stands as a vote of its author's for it."""
    turns = sorted(heard, key=lambda one: (one.act.round, history.panel.index(one.act.agent)))
    return [_row(run, one, history, decision).to_lake() for one in turns]


def _row(run: str, heard: Heard, history: History, decision: Decision | None) -> VoteRecord:
    act = heard.act
    final = {one.answer for one in standing_answers(history, max(decision.round - 1, 0) if decision else 99).values()}
    chosen = act.answer if isinstance(act, Answered) else act.target if isinstance(act, Voted) else ""
    winner = decision.answer if decision is not None else ""
    return VoteRecord(
        run=run,
        path=f"round-{act.round}/{act.agent}",
        round=act.round,
        voter=act.agent,
        target=_author(history, chosen, act.agent) if isinstance(act, Voted) else "",
        target_hash=chosen,
        stale=isinstance(act, Voted) and vote_state(history, act, final) == "stale",
        reason=heard.why or heard.reason,
        failure=act.failure if isinstance(act, Failed) else None,
        backend=heard.backend,
        kind=act.kind,
        won=chosen == winner if chosen and winner else None,
        position=heard.position or None,
        shown=heard.shown,
        score=next(iter(act.ratings.values())) if isinstance(act, Scored) else None,
    )


def _author(history: History, answer: str, voter: str) -> str:
    """Agents whose answer it is, in the order of the panel."""
    authors = {act.agent for act in history.acts if isinstance(act, Answered) and act.answer == answer}
    return " ".join(agent for agent in history.panel if agent in authors and agent != voter)
