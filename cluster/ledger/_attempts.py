"""Operations on attempts: buying a call, and ending every purchase in one of its ways."""

from __future__ import annotations

from typing import Any

from bessemer.cluster.errors import Closed, Fenced, JournalDiverged, LedgerRefusal, Pending
from bessemer.cluster.ledger._money import OPEN_STATES, alarm, charge_new, move, put_in_doubt, status_of
from bessemer.cluster.ledger._rows import AttemptRec, CallRec, RunRec, Work
from bessemer.cluster.ledger._values import (
    from_json,
    no_such_attempt,
    no_such_run,
    refuse,
    rows_json,
    scopes_in,
    scopes_text,
    to_json,
)
from bessemer.cluster.ledger.operations import (
    AsGiven,
    AttemptStatus,
    Doubt,
    GiveUp,
    Outcome,
    Refusal,
    Release,
    Reserve,
    Reserved,
    Resolve,
    Settle,
    Submit,
    Submitted,
    Sweep,
    Swept,
)


def fenced(run: RunRec, epoch: int) -> Refusal | None:
    """The refusal for a caller whose epoch is not the run's."""
    if epoch == run.epoch:
        return None
    return refuse(
        Fenced,
        f"run {run.id} is at epoch {run.epoch} under {run.owner}, and this is epoch {epoch}; stop working on it",
        run=run.id,
        epoch=run.epoch,
        owner=run.owner,
    )


def outcome_of(call: CallRec) -> Outcome:
    value = from_json(call.value) if call.value is not None else None
    usage: dict[str, Any] = from_json(call.usage)
    return Outcome(kind=call.kind, value=value, cost=call.cost, usage=usage)


def find_attempt(work: Work, attempt: str) -> AttemptRec | None:
    call, _, n = attempt.rpartition("|")
    return work.attempts.known.get((call, int(n))) if n.isascii() and n.isdigit() else None


def reserve(work: Work, op: Reserve) -> Reserved | Outcome | Refusal:
    run = work.runs.known.get(op.run)
    if run is None:
        return no_such_run(op.run)
    if refusal := fenced(run, op.epoch):
        return refusal
    if run.status != "open":
        return refuse(Closed, f"run {run.id} has ended ({run.status}); resume it first", run=run.id, status=run.status)
    call = f"{op.run}|{op.path}|{op.index}"
    tries = work.attempts_of.get(call, [])
    known = _answer_known(work, op, call, tries)
    if known is not None:
        return known
    detail, scopes = to_json(op.detail), scopes_text(op.scopes)
    if refusal := charge_new(work, scopes_in(scopes), op.worst, unmetered=op.unmetered):
        return refusal
    made = _new_attempt(work, op, call, len(tries) + 1, scopes, detail)
    return Reserved(attempt=made.id, state="parked" if op.parked else "reserved", fresh=True)


def _answer_known(work: Work, op: Reserve, call: str, tries: list[AttemptRec]) -> Reserved | Outcome | Refusal | None:
    """What the ledger knows already about this call, or None if an attempt may be made."""
    outcome = work.calls.known.get(call)
    if outcome is not None:
        if outcome.request_hash not in (None, op.request_hash):
            return _diverged(call, "its outcome")
        return outcome_of(outcome)
    newest = tries[-1] if tries else None
    if newest is not None and newest.state in OPEN_STATES:
        if newest.request_hash != op.request_hash:
            return _diverged(call, "an attempt in flight")
        if newest.token != op.token:
            return _pending(newest)
    for attempt in tries:
        if attempt.token == op.token:
            state = attempt.state
            return Reserved(attempt=attempt.id, state=state, fresh=False)
    return None


def _new_attempt(work: Work, op: Reserve, call: str, n: int, scopes: str, detail: str) -> AttemptRec:
    send_by = work.now + op.send_within
    made = AttemptRec(
        call=call,
        n=n,
        run=op.run,
        token=op.token,
        request_hash=op.request_hash,
        scopes=scopes,
        worst=op.worst,
        charge=op.worst,
        state="parked" if op.parked else "reserved",
        epoch=op.epoch,
        reserved_at=work.now,
        send_by=send_by,
        deadline=send_by + op.answer_within,
        batch="",
        submitted_at=0.0,
        doubted_at=0.0,
        ended_at=0.0,
        usage="",
        reason="",
        detail=detail,
    )
    work.attempts_of.setdefault(call, []).append(made)
    return work.attempts.add((call, n), made)


def _diverged(call: str, what: str) -> Refusal:
    return refuse(
        JournalDiverged,
        f"call {call} asks for another request than {what} has; the pipeline took another path: `bessemer run fork`",
        call=call,
    )


def _pending(attempt: AttemptRec) -> Refusal:
    return refuse(
        Pending,
        f"attempt {attempt.id} of the call is {attempt.state}; wait for it to end",
        attempt=attempt.id,
        state=attempt.state,
        token=attempt.token,
        epoch=attempt.epoch,
    )


def submit(work: Work, op: Submit) -> Submitted:
    """Parked attempts become submitted under `batch`; a repeat under the same batch key names the same ones.

    With `was`, those submitted under that key are renamed: the time they were submitted at stays the first one's.
    """
    taken: list[str] = []
    for wanted in dict.fromkeys(op.attempts):
        attempt = find_attempt(work, wanted)
        if attempt is None:
            continue
        if attempt.state == "parked":
            attempt.batch = op.batch
            move(work, attempt, "submitted", attempt.charge)
            taken.append(wanted)
        elif attempt.state == "submitted" and attempt.batch == op.batch:
            taken.append(wanted)
        elif attempt.state == "submitted" and op.was and attempt.batch == op.was:
            attempt.batch = op.batch
            work.attempts.touch((attempt.call, attempt.n))
            taken.append(wanted)
    return Submitted(attempts=tuple(taken))


def settle(work: Work, op: Settle) -> Outcome | AsGiven | Refusal:
    """Book the cost first, whoever brings it; then let the answer become the outcome where it may."""
    kept = None
    attempt = find_attempt(work, op.attempt)
    if attempt is None:
        return no_such_attempt(op.attempt)
    run = work.runs.known[attempt.run]
    if attempt.state not in ("settled", "settled_late"):
        usage, value, rows = to_json(op.usage), to_json(op.answer), rows_json(op.rows)
        was = attempt.state
        if was in ("released", "resolved"):
            alarm(work, attempt, op.cost)
        move(work, attempt, "settled" if was in OPEN_STATES else "settled_late", op.cost)
        attempt.usage = usage
        newest = work.attempts_of[attempt.call][-1]
        if run.erased_at is None and attempt.call not in work.calls.known and _same_request(newest, attempt):
            kept = CallRec(attempt.call, "answer", value, attempt.request_hash, op.cost, usage, work.now)
            work.calls.add(attempt.call, kept)
            work.outbox.extend(rows)
    if refusal := fenced(run, op.epoch):
        return refusal
    outcome = work.calls.known.get(attempt.call)
    if outcome is None:
        return _diverged(attempt.call, "the newest attempt (the cost is booked)")
    return AsGiven() if outcome is kept and not op.echo else outcome_of(outcome)


def _same_request(newest: AttemptRec, attempt: AttemptRec) -> bool:
    return newest.request_hash == attempt.request_hash


def release(work: Work, op: Release) -> AttemptStatus | Refusal:
    attempt = find_attempt(work, op.attempt)
    if attempt is None:
        return no_such_attempt(op.attempt)
    if attempt.state in OPEN_STATES or attempt.state == "in_doubt":
        move(work, attempt, "released", 0, op.reason)
    return status_of(attempt)


def doubt(work: Work, op: Doubt) -> AttemptStatus | Refusal:
    attempt = find_attempt(work, op.attempt)
    if attempt is None:
        return no_such_attempt(op.attempt)
    if attempt.state in ("reserved", "submitted"):
        put_in_doubt(work, attempt, op.reason)
    return status_of(attempt)


def sweep(work: Work, op: Sweep) -> Swept:
    """A host that never ended its attempts is taken for lost once their longest answer time is over."""
    lost = [one for one in work.attempts.known.values() if one.state == "reserved" and one.deadline < work.now]
    for attempt in lost:
        put_in_doubt(work, attempt, "no answer within its longest time")
    return Swept(attempts=tuple(sorted(attempt.id for attempt in lost)))


def resolve(work: Work, op: Resolve) -> AttemptStatus | Refusal:
    attempt = find_attempt(work, op.attempt)
    if attempt is None:
        return no_such_attempt(op.attempt)
    if attempt.state != "in_doubt":
        return status_of(attempt)
    earliest = _billed_until(work, attempt)
    if work.now < earliest:
        wait = earliest - work.now
        return refuse(
            LedgerRefusal,
            f"attempt {attempt.id} may still be billed for {wait / 3600:.1f} h; resolve it after that",
            attempt=attempt.id,
            earliest=earliest,
            wait_seconds=wait,
        )
    was = attempt.charge
    facts = {"evidence": op.evidence, "was_charged": was, "cost": op.cost}
    work.log("resolve", attempt.id, op.by, to_json(facts))
    move(work, attempt, "resolved", op.cost)
    return status_of(attempt)


def _billed_until(work: Work, attempt: AttemptRec) -> float:
    """The last moment at which a vendor can still bill the attempt."""
    if attempt.submitted_at:
        return attempt.submitted_at + work.policy.batch_billing_seconds
    return max(attempt.send_by + work.policy.live_billing_seconds, attempt.deadline)


def give_up(work: Work, op: GiveUp) -> Outcome | Refusal:
    run = work.runs.known.get(op.run)
    if run is None:
        return no_such_run(op.run)
    if refusal := fenced(run, op.epoch):
        return refusal
    call = f"{op.run}|{op.path}|{op.index}"
    known = work.calls.known.get(call)
    if known is not None:
        return outcome_of(known)
    tries = work.attempts_of.get(call, [])
    if tries and tries[-1].state in OPEN_STATES:
        return _pending(tries[-1])
    value, rows = to_json(op.failure), rows_json(op.rows)
    request_hash = tries[-1].request_hash if tries else None
    kept = work.calls.add(call, CallRec(call, "failure", value, request_hash, 0, "{}", work.now))
    work.outbox.extend(rows)
    return outcome_of(kept)
