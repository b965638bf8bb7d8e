"""What people and programs may ask about queues without changing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, case, false, func, or_, select

from bessemer.cluster.errors import UsageError
from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._engine import Store
from bessemer.cluster.ledger._message import Json
from bessemer.cluster.ledger._values import from_json
from bessemer.cluster.ledger.queue_operations import TaskState

PAGE = 200
"""Tasks read at once, so that a long queue does not fill memory."""


class QueueRow(BaseModel):
    """A queue: who runs it, and how many of its tasks are in each state. Micro-dollars."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: str
    owner: str
    epoch: int
    lease_until: datetime
    stopped: bool
    acknowledged_at: datetime | None
    tasks: dict[TaskState, int]
    cap: int | None
    used: int
    in_doubt: int
    degraded: int
    """Tasks that were degraded since that was last acknowledged."""


class TaskRow(BaseModel):
    """One task. Micro-dollars."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    queue: str
    key: str
    title: str
    priority: float
    place: int
    spec: dict[str, Json]
    run: str
    state: TaskState
    tries: int
    added_at: datetime
    not_before: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    result: dict[str, Json]
    degraded: str
    degraded_at: datetime | None
    charged: int
    """Everything its run is charged: spent, in flight and in doubt."""
    in_doubt: int


class QueueReads:
    """Questions about queues. Each sees one moment of the ledger and waits for no writer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def queues(self) -> list[QueueRow]:
        """Every queue by name."""
        with self._store.reading() as connection:
            rows = connection.execute(select(t.queue).order_by(t.queue.c.name)).all()
        return [self.queue(row.name) for row in rows]

    def queue(self, name: str) -> QueueRow:
        """One queue. Raises UsageError where there is none of that name."""
        task = t.queue_task.c
        counts = select(task.state, func.count()).where(task.queue == name).group_by(task.state)
        with self._store.reading() as connection:
            row = connection.execute(select(t.queue).where(t.queue.c.name == name)).one_or_none()
            if row is None:
                known = connection.execute(select(t.queue.c.name).order_by(t.queue.c.name)).scalars().all()
                raise UsageError(_unknown(name, list(known)), {"queue": name})
            found: Counter[TaskState] = Counter({state: int(number) for state, number in connection.execute(counts)})
            scope = connection.execute(select(t.scope).where(t.scope.c.name == f"queue:{name}")).one_or_none()
            fresh = select(func.count()).where(task.queue == name, task.degraded_at > row.acknowledged_at)
            degraded = int(connection.execute(fresh).scalar_one())
        return QueueRow(
            queue=name,
            owner=row.owner,
            epoch=row.epoch,
            lease_until=datetime.fromtimestamp(row.lease_until, UTC),
            stopped=bool(row.stopped),
            acknowledged_at=_at(row.acknowledged_at),
            tasks=dict(found),
            cap=scope.cap if scope else None,
            used=scope.used if scope else 0,
            in_doubt=scope.in_doubt if scope else 0,
            degraded=degraded,
        )

    def tasks(self, queue: str, states: tuple[TaskState, ...] = (), limit: int | None = None) -> Iterator[TaskRow]:
        """Tasks of a queue in the order they are claimed in, read a page at a time."""
        after: tuple[float, int] | None = None
        left = limit
        while left is None or left > 0:
            page = self._page(queue, states, after, PAGE if left is None else min(PAGE, left))
            yield from page
            if len(page) < PAGE:
                return
            after = (page[-1].priority, page[-1].place)
            left = None if left is None else left - len(page)

    def find_tasks(self, queue: str, start: str) -> list[str]:
        """Ids of the queue's tasks that are `start`, or begin with it with or without the queue's name."""
        task = t.queue_task.c
        query = select(task.id).where(task.queue == queue).order_by(task.place)
        with self._store.reading() as connection:
            ids = [str(one) for one in connection.execute(query).scalars()]
        if start in ids:
            return [start]
        return [one for one in ids if start and one.startswith((start, f"{queue}-{start}"))]

    def _page(
        self, queue: str, states: tuple[TaskState, ...], after: tuple[float, int] | None, size: int
    ) -> list[TaskRow]:
        task = t.queue_task.c
        query = select(t.queue_task).where(task.queue == queue)
        if states:
            query = query.where(task.state.in_(states))
        if after is not None:
            same = (task.priority == after[0]) & (task.place > after[1])
            query = query.where((task.priority < after[0]) | same)
        query = query.order_by(task.priority.desc(), task.place).limit(size)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
            money = {row.run: row for row in connection.execute(_money([row.run for row in rows]))}
        return [_task_row(row, money.get(row.run)) for row in rows]


def _money(runs: list[str]) -> Any:
    """What each of these runs is charged. By ranges of keys, as every question about a run's attempts."""
    a = t.attempt.c
    in_doubt = func.sum(case((a.state == "in_doubt", a.charge), else_=0))
    charged = select(a.run, func.sum(a.charge).label("charged"), in_doubt.label("in_doubt"))
    ranges = [(a.call >= low) & (a.call < high) for low, high in map(t.range_of, runs)]
    return charged.where(or_(false(), *ranges)).group_by(a.run)


def _task_row(row: Row[Any], money: Row[Any] | None) -> TaskRow:
    return TaskRow(
        task=row.id,
        queue=row.queue,
        key=row.key,
        title=row.title,
        priority=row.priority,
        place=row.place,
        spec=from_json(row.spec),
        run=row.run,
        state=row.state,
        tries=row.tries,
        added_at=datetime.fromtimestamp(row.added_at, UTC),
        not_before=_at(row.not_before),
        started_at=_at(row.started_at),
        ended_at=_at(row.ended_at),
        reason=row.reason,
        result=from_json(row.result),
        degraded=row.degraded,
        degraded_at=_at(row.degraded_at),
        charged=int(money.charged) if money else 0,
        in_doubt=int(money.in_doubt or 0) if money else 0,
    )


def _at(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _unknown(name: str, known: list[str]) -> str:
    names = f" (known: {', '.join(known[:10])})" if known else ""
    return f"there is no queue {name!r}{names}; make it with `bessemer queue add --queue {name} TASK`"
