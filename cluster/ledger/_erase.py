"""Erasing what a run remembers. Money rows are never touched except to end what was still open."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from bessemer.cluster.errors import LedgerRefusal, RunIsOpen
from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._flush import Writer
from bessemer.cluster.ledger._load import Wants, load
from bessemer.cluster.ledger._money import leave_behind
from bessemer.cluster.ledger._rows import RunRec, Work
from bessemer.cluster.ledger._values import to_json

ENDED = ("done", "failed", "cancelled", "budget")


def erase_run(connection: Connection, work: Work, writer: Writer, run_id: str, by: str) -> None:
    """Raises RunIsOpen while the run's lease lives, LedgerRefusal if there is no such run."""
    load(connection, Wants(runs={run_id}, whole={run_id}), work)
    run = work.runs.known.get(run_id)
    if run is None:
        raise LedgerRefusal(f"the ledger has no run {run_id!r}; see `bessemer run list`", {"run": run_id})
    if run.erased_at is not None:
        return
    if run.is_held(work.now):
        raise RunIsOpen(
            f"run {run_id} is held by {run.owner}; stop it with `bessemer run cancel {run_id}` first",
            {"run": run_id, "owner": run.owner},
        )
    _erase(connection, work, run)
    work.log("delete_run", run_id, by, "{}")
    writer.flush(connection, work)


def erase_ended(connection: Connection, work: Work, writer: Writer, older_than: float, by: str) -> int:
    """Erase every run that ended more than `older_than` seconds ago; returns how many."""
    query = select(t.run.c.id).where(
        t.run.c.status.in_(ENDED), t.run.c.erased_at.is_(None), t.run.c.ended_at < work.now - older_than
    )
    ids = set(connection.execute(query).scalars())
    load(connection, Wants(runs=set(ids), whole=set(ids)), work)
    for run_id in sorted(ids):
        _erase(connection, work, work.runs.known[run_id])
    if ids:
        work.log("prune", f"{len(ids)} runs", by, to_json({"older_than_seconds": older_than, "runs": sorted(ids)}))
    writer.flush(connection, work)
    return len(ids)


def _erase(connection: Connection, work: Work, run: RunRec) -> None:
    leave_behind(work, run, "the run was deleted before the answer came", parked=True)
    # The next epoch fences off whoever still works on the run.
    run.epoch += 1
    run.pins, run.erased_at, run.lease_until = None, work.now, work.now
    if run.status not in ENDED:
        run.status, run.ended_at = "cancelled", work.now
    work.runs.touch(run.id)
    low, high = t.range_of(run.id)
    connection.execute(update(t.call).where(t.call.c.id >= low, t.call.c.id < high).values(value=None))
    connection.execute(update(t.step).where(t.step.c.run == run.id).values(result=None))
    connection.execute(delete(t.observation).where(t.observation.c.run == run.id))
