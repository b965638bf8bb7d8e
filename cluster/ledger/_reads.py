"""What people and programs may look at without changing anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, Select, and_, case, func, select

from bessemer.cluster.errors import LedgerRefusal
from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._engine import Store
from bessemer.cluster.ledger._message import Json
from bessemer.cluster.ledger._values import from_json, scopes_in
from bessemer.cluster.ledger.operations import AttemptState, RunStatus

ENDED_AT_COST = ("settled", "settled_late", "resolved")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScopeRow(_Row):
    """A cap and what counts against it. Micro-dollars."""

    scope: str
    cap: int | None
    version: int
    used: int
    in_doubt: int


class RunRow(_Row):
    """A run and its money in micro-dollars."""

    run: str
    pipeline: str
    status: RunStatus
    owner: str
    epoch: int
    pins: dict[str, Json]
    """Empty once the run was erased."""
    caps: dict[str, int | None]
    opened_at: datetime
    ended_at: datetime | None
    lease_until: datetime
    erased: bool
    charged: int
    """Everything that counts against its budget: spent, in flight and in doubt."""
    in_doubt: int
    calls: int
    """Calls with an outcome."""
    attempts: int
    lost_in_flight: int
    """Attempts that ever lost their answer."""


class StepRow(_Row):
    run: str
    path: str
    done: bool
    result: Json


class CallRow(_Row):
    """A call that has its outcome."""

    run: str
    path: str
    index: int
    kind: str
    value: Json
    cost: int
    usage: dict[str, Json]
    at: datetime


class AttemptRow(_Row):
    """One purchase. Micro-dollars."""

    attempt: str
    run: str
    path: str
    index: int
    n: int
    state: AttemptState
    worst: int
    charge: int
    cost: int | None
    usage: dict[str, Json] | None
    scopes: tuple[str, ...]
    token: str
    epoch: int
    batch: str | None
    submitted_at: datetime | None
    reserved_at: datetime
    send_by: datetime
    doubted_at: datetime | None
    ended_at: datetime | None
    reason: str
    detail: dict[str, Json]


class AuditRow(_Row):
    at: datetime
    action: str
    subject: str
    by: str
    detail: dict[str, Json]


NAMES = 500
"""Names in one query."""


class Reads:
    """The questions. Each sees one moment of the ledger and waits for no writer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def runs(self, limit: int = 20) -> list[RunRow]:
        """The newest `limit` runs, newest first."""
        return self._runs(select(t.run.c.id).order_by(t.run.c.opened_at.desc(), t.run.c.id).limit(limit))

    def open_runs(self) -> list[RunRow]:
        """Every run that is open, whether or not its owner lives."""
        return self._runs(select(t.run.c.id).where(t.run.c.status == "open"))

    def run(self, run: str) -> RunRow:
        """One run. Raises LedgerRefusal if there is none of that id."""
        found = self._runs(select(t.run.c.id).where(t.run.c.id == run))
        if not found:
            raise LedgerRefusal(f"the ledger has no run {run!r}; see `bessemer run list`", {"run": run})
        return found[0]

    def scopes(self) -> list[ScopeRow]:
        """Every cap with what counts against it, by name."""
        with self._store.reading() as connection:
            rows = connection.execute(select(t.scope).order_by(t.scope.c.name)).all()
        return [ScopeRow(scope=name, cap=cap, version=v, used=u, in_doubt=d) for name, cap, v, u, d in rows]

    def steps(self, run: str) -> list[StepRow]:
        with self._store.reading() as connection:
            rows = connection.execute(select(t.step).where(t.step.c.run == run).order_by(t.step.c.path)).all()
        return [StepRow(run=row.run, path=row.path, done=row.state == "done", result=_json(row.result)) for row in rows]

    def calls(self, run: str) -> list[CallRow]:
        """The run's calls that have an outcome, in the order they got it."""
        low, high = t.range_of(run)
        query = select(t.call).where(t.call.c.id >= low, t.call.c.id < high).order_by(t.call.c.at, t.call.c.id)
        with self._store.reading() as connection:
            return [_call_row(row) for row in connection.execute(query)]

    def attempts(self, run: str) -> list[AttemptRow]:
        """The run's purchases, in the order they were made."""
        low, high = t.range_of(run)
        return self._attempts(select(t.attempt).where(t.attempt.c.call >= low, t.attempt.c.call < high))

    def doubts(self, run: str | None = None) -> list[AttemptRow]:
        """Attempts whose answer was lost and which are charged at their worst case, oldest first."""
        query = select(t.attempt).where(t.attempt.c.state == "in_doubt")
        return self._attempts(query if run is None else query.where(t.attempt.c.run == run))

    def batched(self, provider: str) -> list[AttemptRow]:
        """Attempts that wait for a batch of `provider` or are in one, of every run, in the order they were made."""
        query = select(t.attempt).where(t.attempt.c.state.in_(("parked", "submitted")))
        found = self._attempts(query)
        return [one for one in found if str(one.detail.get("backend", "")).startswith(f"{provider}/")]

    def audit(self, limit: int = 100) -> list[AuditRow]:
        """What people did to the account, and alarms; newest first."""
        query = select(t.audit).order_by(t.audit.c.id.desc()).limit(limit)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [
            AuditRow(at=_at(row.at), action=row.action, subject=row.subject, by=row.by, detail=from_json(row.detail))
            for row in rows
        ]

    def _attempts(self, query: Select[Any]) -> list[AttemptRow]:
        query = query.order_by(t.attempt.c.reserved_at, t.attempt.c.call, t.attempt.c.n)
        with self._store.reading() as connection:
            return [_attempt_row(row) for row in connection.execute(query)]

    def _runs(self, which: Select[Any]) -> list[RunRow]:
        chosen = which.subquery()
        query = select(t.run).join(chosen, chosen.c.id == t.run.c.id).order_by(t.run.c.opened_at.desc(), t.run.c.id)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
            # A ledger has a scope for each run it ever had: only those of the rows are read.
            names = sorted({name for row in rows for name in scopes_in(row.scopes)})
            caps: dict[str, int | None] = {}
            for start in range(0, len(names), NAMES):
                these = t.scope.c.name.in_(names[start : start + NAMES])
                caps |= {
                    row.name: row.cap for row in connection.execute(select(t.scope.c.name, t.scope.c.cap).where(these))
                }
            money = {row.id: row for row in connection.execute(_money_of(chosen))}
            calls = {row.id: row.calls for row in connection.execute(_calls_of(chosen))}
        return [_run_row(row, money.get(row.id), int(calls.get(row.id, 0)), caps) for row in rows]


def _money_of(chosen: Any) -> Select[Any]:
    a, run = t.attempt.c, chosen.c.id
    return (
        select(
            run.label("id"),
            func.sum(a.charge).label("charged"),
            func.sum(case((a.state == "in_doubt", a.charge), else_=0)).label("in_doubt"),
            func.count().label("attempts"),
            func.sum(case((a.doubted_at > 0, 1), else_=0)).label("lost"),
        )
        .select_from(chosen.join(t.attempt, and_(a.call >= run + "|", a.call < run + "}")))
        .group_by(run)
    )


def _calls_of(chosen: Any) -> Select[Any]:
    c, run = t.call.c, chosen.c.id
    found = chosen.join(t.call, and_(c.id >= run + "|", c.id < run + "}"))
    return select(run.label("id"), func.count().label("calls")).select_from(found).group_by(run)


def _run_row(row: Row[Any], money: Row[Any] | None, calls: int, caps: dict[str, int | None]) -> RunRow:
    return RunRow(
        run=row.id,
        pipeline=row.pipeline,
        status=row.status,
        owner=row.owner,
        epoch=row.epoch,
        pins=_json(row.pins) or {},
        caps={name: caps.get(name) for name in scopes_in(row.scopes)},
        opened_at=_at(row.opened_at),
        ended_at=None if row.ended_at is None else _at(row.ended_at),
        lease_until=_at(row.lease_until),
        erased=row.erased_at is not None,
        charged=int(money.charged) if money else 0,
        in_doubt=int(money.in_doubt) if money else 0,
        calls=calls,
        attempts=int(money.attempts) if money else 0,
        lost_in_flight=int(money.lost) if money else 0,
    )


def _call_row(row: Row[Any]) -> CallRow:
    run, path, index = _parts(row.id)
    return CallRow(
        run=run,
        path=path,
        index=index,
        kind=row.kind,
        value=_json(row.value),
        cost=row.cost,
        usage=from_json(row.usage),
        at=_at(row.at),
    )


def _attempt_row(row: Row[Any]) -> AttemptRow:
    run, path, index = _parts(row.call)
    return AttemptRow(
        attempt=f"{row.call}|{row.n}",
        run=run,
        path=path,
        index=index,
        n=row.n,
        state=row.state,
        worst=row.worst,
        charge=row.charge,
        cost=row.charge if row.state in ENDED_AT_COST else None,
        usage=_json(row.usage or None),
        scopes=scopes_in(row.scopes),
        token=row.token,
        epoch=row.epoch,
        batch=row.batch or None,
        submitted_at=_at(row.submitted_at) if row.submitted_at else None,
        reserved_at=_at(row.reserved_at),
        send_by=_at(row.send_by),
        doubted_at=_at(row.doubted_at) if row.doubted_at else None,
        ended_at=_at(row.ended_at) if row.ended_at else None,
        reason=row.reason,
        detail=from_json(row.detail),
    )


def _parts(call: str) -> tuple[str, str, int]:
    run, _, rest = call.partition("|")
    path, _, index = rest.rpartition("|")
    return run, path, int(index)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _json(text: str | None) -> Any:
    return None if text is None else from_json(text)
