"""What a run spent and what is left to it, as an operation among others sees it: with the group's effects so far."""

from __future__ import annotations

from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._rows import Charged, Work
from bessemer.cluster.ledger._values import from_json, scopes_in
from bessemer.cluster.ledger.operations import Left, ReadLeft, ReadSpending, Spending, Spent


def read_spending(work: Work, op: ReadSpending) -> Spent:
    ranges = t.ranges_below(op.run, op.path)
    now = {
        key: Charged(one.call, one.n, one.charge, one.state, one.usage)
        for key, one in work.attempts.known.items()
        if any(first <= one.call < behind for first, behind in ranges)
    }
    before = {(one.call, one.n): one for one in work.charged[op.run, op.path]}
    rows = (before | now).values()
    used = [from_json(one.usage) for one in rows if one.usage]
    return Spent(
        spending=Spending(
            calls=len(rows),
            input_tokens=sum(int(one.get("input", 0)) for one in used),
            output_tokens=sum(int(one.get("output", 0)) for one in used),
            cost=sum(one.charge for one in rows),
            in_doubt=sum(one.charge for one in rows if one.state == "in_doubt"),
        )
    )


def read_left(work: Work, op: ReadLeft) -> Left:
    run = work.runs.known.get(op.run)
    scopes = [work.scopes.known[name] for name in scopes_in(run.scopes)] if run is not None else []
    return Left(left=min((one.cap - one.used for one in scopes if one.cap is not None), default=None))
