"""Operations on queues: who runs one, what is claimed from it next, and how each task ends."""

from __future__ import annotations

from typing import Any

from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import Fenced, LedgerRefusal, QueueIsOpen
from bessemer.cluster.ledger._rows import QueueRec, TaskRec, Work
from bessemer.cluster.ledger._values import from_json, refuse, to_json
from bessemer.cluster.ledger.operations import Done, Refusal
from bessemer.cluster.ledger.queue_operations import (
    Acknowledge,
    Added,
    AddTasks,
    Claimed,
    ClaimedTask,
    ClaimTasks,
    CloseQueue,
    LeaveTask,
    Marked,
    MarkTasks,
    NewTask,
    OpenQueue,
    QueueLeased,
    QueueOpened,
    RenewQueue,
    StopQueue,
)

MARKABLE = {"queued": ("failed", "blocked", "cancelled"), "cancelled": ("queued", "failed", "blocked")}
"""From which states a person may move a task."""


def task_id(queue: str, key: str) -> str:
    """Id of the task that `key` names in `queue`; its run is called after it."""
    return f"{queue}-{content_hash([queue, key])[:12]}"


def add_tasks(work: Work, op: AddTasks) -> Added | Refusal:
    ids = [task_id(op.queue, task.key) for task in op.tasks]
    for identity, task in zip(ids, op.tasks, strict=True):
        known = work.tasks.known.get(identity)
        if known is not None and known.digest != task.digest:
            return _another(known, task)
    specs = [to_json(task.spec) for task in op.tasks]
    queue = work.queues.known.get(op.queue)
    if queue is None:
        queue = work.queues.add(op.queue, QueueRec(op.queue, "", 0.0, 0, 0, 0, 0.0))
    fresh = []
    for identity, task, spec in zip(ids, op.tasks, specs, strict=True):
        fresh.append(identity not in work.tasks.known)
        if fresh[-1]:
            queue.last_place += 1
            work.tasks.add(identity, _made(work, op.queue, identity, queue.last_place, task, spec))
            _count(work, op.queue, 1)
    work.queues.touch(op.queue)
    return Added(tasks=tuple(ids), fresh=tuple(fresh))


def _made(work: Work, queue: str, identity: str, place: int, task: NewTask, spec: str) -> TaskRec:
    return TaskRec(
        identity, queue, task.key, task.digest, task.title, task.priority, place, spec, identity, added_at=work.now
    )


def _another(known: TaskRec, task: NewTask) -> Refusal:
    return refuse(
        LedgerRefusal,
        f"the key {task.key!r} is that of another task in queue {known.queue} ({known.id}); give this one its own",
        task=known.id,
        key=task.key,
    )


def open_queue(work: Work, op: OpenQueue) -> QueueOpened | Refusal:
    queue = work.queues.known.get(op.queue)
    if queue is None:
        return _no_queue(op.queue)
    if queue.lease_until > work.now and queue.owner not in (op.owner, op.dead):
        return refuse(
            QueueIsOpen,
            f"queue {queue.name} is run by {queue.owner} for {queue.lease_until - work.now:.0f} s more; stop it with "
            f"`bessemer queue stop --queue {queue.name}`, or wait",
            queue=queue.name,
            owner=queue.owner,
        )
    queue.owner, queue.lease_until = op.owner, work.now + work.policy.lease_seconds
    queue.epoch += 1
    work.queues.touch(queue.name)
    return QueueOpened(epoch=queue.epoch, lease_seconds=work.policy.lease_seconds)


def renew_queue(work: Work, op: RenewQueue) -> QueueLeased | Refusal:
    queue = _held(work, op.queue, op.epoch)
    if isinstance(queue, Refusal):
        return queue
    queue.lease_until = work.now + work.policy.lease_seconds
    work.queues.touch(queue.name)
    return QueueLeased(stopped=bool(queue.stopped))


def close_queue(work: Work, op: CloseQueue) -> Done | Refusal:
    queue = _held(work, op.queue, op.epoch)
    if isinstance(queue, Refusal):
        return queue
    queue.lease_until = work.now
    work.queues.touch(queue.name)
    return Done()


def stop_queue(work: Work, op: StopQueue) -> Done | Refusal:
    queue = work.queues.known.get(op.queue)
    if queue is None:
        return _no_queue(op.queue)
    queue.stopped = int(op.stopped)
    work.queues.touch(queue.name)
    return Done()


def claim_tasks(work: Work, op: ClaimTasks) -> Claimed | Refusal:
    queue = _held(work, op.queue, op.epoch)
    if isinstance(queue, Refusal):
        return queue
    mine = [task for task in work.tasks.known.values() if task.queue == op.queue]
    left_behind = [task for task in mine if task.state == "running" and task.id not in op.holding]
    ready = [task for task in mine if task.state == "queued" and task.not_before <= work.now]
    ready.sort(key=lambda task: (-task.priority, task.place))
    taken = [*sorted(left_behind, key=lambda task: task.started_at), *ready][: op.limit]
    for task in taken:
        if task.state == "queued":
            task.state, task.started_at = "running", work.now
            work.tasks.touch(task.id)
            _count(work, op.queue, -1)
    return Claimed(tasks=tuple(map(_claimed, taken)), waiting=work.waiting.get(op.queue, 0))


def _claimed(task: TaskRec) -> ClaimedTask:
    return ClaimedTask(task=task.id, title=task.title, run=task.run, tries=task.tries, spec=from_json(task.spec))


def leave_task(work: Work, op: LeaveTask) -> Done | Refusal:
    queue = _held(work, op.queue, op.epoch)
    if isinstance(queue, Refusal):
        return queue
    task = work.tasks.known.get(op.task)
    if task is None or task.queue != op.queue:
        return refuse(LedgerRefusal, f"queue {op.queue} has no task {op.task!r}; see `bessemer queue list`")
    if op.state == "running":
        return refuse(LedgerRefusal, f"task {op.task} cannot be left running; say how it ended", task=op.task)
    if task.state != "running":
        return Done()
    task.result, task.reason, task.state = to_json(op.result), op.reason, op.state
    task.tries += int(op.counts)
    if op.degraded:
        task.degraded, task.degraded_at = op.degraded, work.now
    if op.state == "queued":
        task.not_before = work.now + op.again_after
        _count(work, op.queue, 1)
    else:
        task.ended_at = work.now
    work.tasks.touch(task.id)
    return Done()


def mark_tasks(work: Work, op: MarkTasks) -> Marked:
    changed = []
    for identity in op.tasks:
        task = work.tasks.known.get(identity)
        if task is None or task.queue != op.queue or task.state not in MARKABLE[op.to]:
            continue
        _count(work, op.queue, (op.to == "queued") - (task.state == "queued"))
        task.state, task.tries, task.not_before = op.to, 0, 0.0
        task.ended_at = work.now if op.to == "cancelled" else 0.0
        work.tasks.touch(identity)
        changed.append(identity)
    return Marked(tasks=tuple(changed))


def acknowledge(work: Work, op: Acknowledge) -> Done | Refusal:
    queue = work.queues.known.get(op.queue)
    if queue is None:
        return _no_queue(op.queue)
    work.log("acknowledge", f"queue:{queue.name}", op.by, to_json({"before": queue.acknowledged_at}))
    queue.acknowledged_at = work.now
    work.queues.touch(queue.name)
    return Done()


def _held(work: Work, name: str, epoch: int) -> QueueRec | Refusal:
    """The queue, where `epoch` is the one that runs it."""
    queue = work.queues.known.get(name)
    if queue is None:
        return _no_queue(name)
    if epoch != queue.epoch:
        facts: dict[str, Any] = {"queue": name, "epoch": queue.epoch, "owner": queue.owner}
        return refuse(Fenced, f"queue {name} is run by {queue.owner} under epoch {queue.epoch} now; stop", **facts)
    return queue


def _no_queue(name: str) -> Refusal:
    return refuse(
        LedgerRefusal, f"there is no queue {name!r}; make it with `bessemer queue add --queue {name} TASK`", queue=name
    )


def _count(work: Work, queue: str, change: int) -> None:
    if queue in work.waiting:
        work.waiting[queue] += change
