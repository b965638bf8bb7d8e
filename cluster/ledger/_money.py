"""The one place where an attempt changes its state, and with it what its scopes are charged."""

from __future__ import annotations

from datetime import UTC, datetime

from bessemer.cluster.errors import BudgetExhausted, LedgerRefusal
from bessemer.cluster.ledger._rows import AttemptRec, RunRec, ScopeRec, Work
from bessemer.cluster.ledger._values import refuse, scopes_in, to_json
from bessemer.cluster.ledger.operations import AttemptState, AttemptStatus, Refusal
from bessemer.cluster.money import format_usd

OPEN_STATES = frozenset(("reserved", "parked", "submitted"))


def move(work: Work, attempt: AttemptRec, state: AttemptState, charge: int, reason: str = "") -> None:
    """Put `attempt` into `state` at `charge` micro-dollars; every scope's totals follow."""
    doubted_before = attempt.charge if attempt.state == "in_doubt" else 0
    doubted_after = charge if state == "in_doubt" else 0
    added, doubted = charge - attempt.charge, doubted_after - doubted_before
    if added or doubted:
        for name in scopes_in(attempt.scopes):
            scope = work.scopes.known[name]
            scope.used += added
            scope.in_doubt += doubted
            work.scopes.touch(name)
    attempt.state, attempt.charge = state, charge
    if state == "in_doubt":
        attempt.doubted_at = work.now
    elif state == "submitted":
        attempt.submitted_at = work.now
    else:
        attempt.ended_at = work.now
    if reason:
        attempt.reason = reason
    work.attempts.touch((attempt.call, attempt.n))


def put_in_doubt(work: Work, attempt: AttemptRec, reason: str) -> None:
    """Sent or perhaps sent, and no answer: charged at its worst case until the truth is known."""
    move(work, attempt, "in_doubt", attempt.worst, reason)


def leave_behind(work: Work, run: RunRec, reason: str, *, parked: bool) -> None:
    """What is reserved goes in doubt; what is parked is released where `parked` says so."""
    for attempt in list(work.attempts.known.values()):
        if attempt.run != run.id:
            continue
        if attempt.state == "reserved":
            put_in_doubt(work, attempt, reason)
        elif parked and attempt.state == "parked":
            move(work, attempt, "released", 0, reason)


def charge_new(work: Work, names: tuple[str, ...], worst: int, *, unmetered: bool = False) -> Refusal | None:
    """Charge `worst` to every scope, or to none and say which cap or name stands in the way.

    What is `unmetered` has no worst case, so that any cap refuses it.
    """
    scopes: list[ScopeRec] = []
    for name in names:
        scope = work.scopes.known.get(name)
        if scope is None:
            return refuse(
                LedgerRefusal, f"scope {name!r} has no account; open the run with it or set its cap first", scope=name
            )
        if scope.cap is not None and unmetered:
            return _unmetered(scope)
        if scope.cap is not None and scope.used + worst > scope.cap:
            return _exhausted(scope, worst)
        scopes.append(scope)
    for scope in scopes:
        scope.used += worst
        work.scopes.touch(scope.name)
    return None


def _exhausted(scope: ScopeRec, worst: int) -> Refusal:
    cap = scope.cap or 0
    left = max(cap - scope.used, 0)
    doubt = ""
    if scope.in_doubt:
        doubt = f", {format_usd(scope.in_doubt)} is in doubt (see `bessemer budget doubts list`)"
    return refuse(
        BudgetExhausted,
        f"the budget {scope.name} of {format_usd(cap)} has {format_usd(left)} left and the next call may cost "
        f"{format_usd(worst)}{doubt}; raise it with `bessemer budget set {scope.name} USD`",
        scope=scope.name,
        left=left,
        needed=worst,
        in_doubt=scope.in_doubt,
        cap=cap,
    )


def _unmetered(scope: ScopeRec) -> Refusal:
    cap = scope.cap or 0
    return refuse(
        BudgetExhausted,
        f"the budget {scope.name} of {format_usd(cap)} cannot hold an unmetered call, whose cost nothing bounds; set "
        f"a price for each call under backends: prices: overrides: (call: USD), or lift the cap",
        scope=scope.name,
        left=max(cap - scope.used, 0),
        needed=0,
        in_doubt=scope.in_doubt,
        cap=cap,
    )


def status_of(attempt: AttemptRec) -> AttemptStatus:
    return AttemptStatus(attempt=attempt.id, state=attempt.state, charge=attempt.charge)


def alarm(work: Work, attempt: AttemptRec, cost: int) -> None:
    """Truth came after an attempt was taken for unbilled or resolved: people must hear of it."""
    facts = {"was": attempt.state, "was_charged": attempt.charge, "cost": cost}
    work.log("settled_late", attempt.id, "", to_json(facts))
    path = attempt.call.partition("|")[2].rpartition("|")[0]
    text = (
        f"attempt {attempt.id} was {attempt.state} at {format_usd(attempt.charge)}, and its vendor billed "
        f"{format_usd(cost)} after that"
    )
    at = datetime.fromtimestamp(work.now, UTC).isoformat()
    event = {"at": at, "run": attempt.run, "path": path, "kind": "settled_late", "text": text}
    work.outbox.append(("events", to_json(event)))
