"""Operations on runs: who holds one, under which epoch, and how it ends."""

from __future__ import annotations

from typing import Any

from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import Fenced, LedgerRefusal, RunDiverged, RunIsOpen
from bessemer.cluster.ledger._attempts import fenced
from bessemer.cluster.ledger._money import leave_behind
from bessemer.cluster.ledger._rows import RunRec, ScopeRec, TokenRec, Work
from bessemer.cluster.ledger._values import from_json, no_such_run, refuse, rows_json, scopes_text, to_json
from bessemer.cluster.ledger.operations import CloseRun, Done, Leased, Opened, OpenRun, Refusal, Renew


def opening_key(run: str, token: str) -> str:
    return f"open|{run}|{token}"


def open_run(work: Work, op: OpenRun) -> Opened | Refusal:
    pins, pins_hash = to_json(op.pins), content_hash(op.pins)
    run = work.runs.known.get(op.run)
    if run is None:
        return _first_opening(work, op, pins, pins_hash)
    if run.erased_at is not None or run.pins_hash != pins_hash:
        return _other_pins(run, op.pins)
    token = work.tokens.known.get(opening_key(op.run, op.token))
    if token is not None:
        return _repeated(work, run, token)
    if run.status == "done":
        return _opened(work, run.epoch, "done", resumed=True)
    held = run.is_held(work.now) and run.owner != op.owner
    if held and not op.take_over:
        return _held(work, run)
    before = run.status
    run.epoch += 1
    leave_behind(work, run, f"epoch {run.epoch} took the run over before the answer came", parked=False)
    run.owner, run.lease_until, run.status = op.owner, work.now + work.policy.lease_seconds, "open"
    run.scopes, run.ended_at = scopes_text(tuple(op.caps)), None
    work.runs.touch(run.id)
    _account_for(work, op)
    key = opening_key(op.run, op.token)
    work.tokens.add(key, TokenRec(key, run.epoch, before))
    return _opened(work, run.epoch, before, resumed=True)


def _first_opening(work: Work, op: OpenRun, pins: str, pins_hash: str) -> Opened:
    lease_until = work.now + work.policy.lease_seconds
    run = RunRec(
        id=op.run,
        pipeline=op.pipeline,
        pins=pins,
        pins_hash=pins_hash,
        owner=op.owner,
        lease_until=lease_until,
        epoch=1,
        status="open",
        scopes=scopes_text(tuple(op.caps)),
        opened_at=work.now,
        ended_at=None,
        erased_at=None,
    )
    work.runs.add(op.run, run)
    _account_for(work, op)
    key = opening_key(op.run, op.token)
    work.tokens.add(key, TokenRec(key, 1, "new"))
    return _opened(work, 1, "open", resumed=False)


def _account_for(work: Work, op: OpenRun) -> None:
    """Make the scopes that are missing; a cap that exists is kept."""
    for name, cap in op.caps.items():
        if name not in work.scopes.known:
            work.scopes.add(name, ScopeRec(name, cap, 1, 0, 0))


def _opened(work: Work, epoch: int, before: str, *, resumed: bool) -> Opened:
    lease = work.policy.lease_seconds
    return Opened(epoch=epoch, lease_seconds=lease, status=before, resumed=resumed)


def _repeated(work: Work, run: RunRec, token: TokenRec) -> Opened | Refusal:
    if token.epoch != run.epoch:
        return refuse(
            Fenced,
            f"this opening of run {run.id} was epoch {token.epoch}, and epoch {run.epoch} holds it now; stop",
            run=run.id,
            epoch=run.epoch,
            owner=run.owner,
        )
    if token.status == "new":
        return _opened(work, run.epoch, "open", resumed=False)
    return _opened(work, run.epoch, token.status, resumed=True)


def _other_pins(run: RunRec, pins: dict[str, Any]) -> Refusal:
    if run.erased_at is not None:
        return refuse(
            RunDiverged, f"the answers of run {run.id} were erased, so it cannot go on; start a new run", run=run.id
        )
    old: dict[str, Any] = from_json(run.pins or "{}")
    changed = sorted(name for name in old.keys() | pins.keys() if old.get(name) != pins.get(name))
    return refuse(
        RunDiverged,
        f"run {run.id} was opened with another {', '.join(changed)}; go on from its work with `bessemer run fork`",
        run=run.id,
        changed=changed,
    )


def _held(work: Work, run: RunRec) -> Refusal:
    return refuse(
        RunIsOpen,
        f"run {run.id} is held by {run.owner} for {run.lease_until - work.now:.0f} s more; stop it there, or wait",
        run=run.id,
        owner=run.owner,
        epoch=run.epoch,
        lease_seconds=run.lease_until - work.now,
    )


def renew(work: Work, op: Renew) -> Leased | Refusal:
    run = work.runs.known.get(op.run)
    if run is None:
        return no_such_run(op.run)
    if refusal := fenced(run, op.epoch):
        return refusal
    if run.status == "open":
        if run.owner != op.owner:
            return refuse(
                Fenced, f"run {run.id} is held by {run.owner}, not by {op.owner}; stop", run=run.id, owner=run.owner
            )
        run.lease_until = work.now + work.policy.lease_seconds
        work.runs.touch(run.id)
    # A run that has ended is only replayed: there is no lease to move, and nothing to stop for.
    return Leased(lease_seconds=work.policy.lease_seconds)


def close_run(work: Work, op: CloseRun) -> Done | Refusal:
    run = work.runs.known.get(op.run)
    if run is None:
        return no_such_run(op.run)
    if refusal := fenced(run, op.epoch):
        return refusal
    if op.status == "open":
        return refuse(LedgerRefusal, f"run {run.id} cannot be closed as open; say how it ended", run=run.id)
    ends = run.status == "open" or (run.status == "interrupted" and op.status != "interrupted")
    if not ends:
        return Done()
    rows = rows_json(op.rows)
    leave_behind(work, run, f"the run ended ({op.status}) before the answer came", parked=True)
    run.status, run.lease_until, run.ended_at = op.status, work.now, work.now
    work.runs.touch(run.id)
    work.outbox.extend(rows)
    return Done()
