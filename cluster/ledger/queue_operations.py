"""The operations on queues and their answers, as messages. `docs/queue.md` says how they are used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bessemer.cluster.ledger._message import Json, Message, Seconds

TaskState = Literal["queued", "running", "done", "failed", "blocked", "cancelled"]
"""`blocked` needs a person. Every state after `running` is an end, which a person may take back."""
Priority = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
"""Order in the queue, the highest first; also the weight of a run's calls where several runs wait for one model."""
MAX_CLAIM = 1000


class NewTask(Message):
    key: Annotated[str, Field(min_length=1, max_length=200)]
    """What the task is known by in its queue: adding the same key again changes nothing."""
    digest: str
    """Hash of what was asked; another one under the same key is refused."""
    title: str
    priority: Priority
    spec: dict[str, Json]
    """What it takes to start the task's run."""


class AddTasks(Message):
    """Adds every task, or none where one is refused."""

    op: Literal["add_tasks"] = "add_tasks"
    queue: Annotated[str, Field(min_length=1)]
    tasks: tuple[NewTask, ...]


class OpenQueue(Message):
    op: Literal["open_queue"] = "open_queue"
    queue: str
    owner: str
    dead: str = ""
    """An owner that the caller knows is dead: the queue is taken from it though its lease still lives."""


class RenewQueue(Message):
    op: Literal["renew_queue"] = "renew_queue"
    queue: str
    owner: str
    epoch: int


class CloseQueue(Message):
    op: Literal["close_queue"] = "close_queue"
    queue: str
    epoch: int


class StopQueue(Message):
    """Sets or clears the mark that asks whoever runs the queue to stop at the next boundary."""

    op: Literal["stop_queue"] = "stop_queue"
    queue: str
    stopped: bool


class ClaimTasks(Message):
    op: Literal["claim_tasks"] = "claim_tasks"
    queue: str
    epoch: int
    limit: Annotated[int, Field(ge=0, le=MAX_CLAIM)]
    holding: tuple[str, ...] = ()
    """Tasks that the caller has in hand; others that are running were claimed by somebody who is gone."""


class LeaveTask(Message):
    """The caller is through with a claimed task: it has ended, or goes back into the queue."""

    op: Literal["leave_task"] = "leave_task"
    queue: str
    epoch: int
    task: str
    state: TaskState
    reason: str = ""
    result: dict[str, Json] = Field(default_factory=dict)
    degraded: str = ""
    """Why the result must not be trusted as it stands; kept until a person acknowledges it."""
    again_after: Seconds = 0.0
    """Seconds until a task that goes back may be claimed."""
    counts: bool = True
    """Whether this was one of the task's tries."""


class MarkTasks(Message):
    """A person puts tasks back into the queue or takes them out of it. A running one is left alone."""

    op: Literal["mark_tasks"] = "mark_tasks"
    queue: str
    tasks: tuple[str, ...]
    to: Literal["queued", "cancelled"]


class Acknowledge(Message):
    """A person has seen that the queue was degraded."""

    op: Literal["acknowledge"] = "acknowledge"
    queue: str
    by: Annotated[str, Field(min_length=1)]


class Added(Message):
    is_: Literal["added"] = "added"
    tasks: tuple[str, ...]
    """Id of each task, in order."""
    fresh: tuple[bool, ...]
    """False where the key was there already."""


class QueueOpened(Message):
    is_: Literal["queue_opened"] = "queue_opened"
    epoch: int
    lease_seconds: float


class QueueLeased(Message):
    is_: Literal["queue_leased"] = "queue_leased"
    stopped: bool


class ClaimedTask(Message):
    task: str
    title: str
    run: str
    tries: int
    """Tries before this one."""
    spec: dict[str, Json]


class Claimed(Message):
    is_: Literal["claimed"] = "claimed"
    tasks: tuple[ClaimedTask, ...]
    waiting: int
    """Tasks that are still queued."""


class Marked(Message):
    is_: Literal["marked"] = "marked"
    tasks: tuple[str, ...]
    """Those that changed."""
