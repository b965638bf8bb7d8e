"""One operation in, one answer out, on the rows of the group's unit of work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bessemer.cluster.errors import LedgerRefusal
from bessemer.cluster.ledger import _attempts, _journal, _queue, _runs, _spending
from bessemer.cluster.ledger._rows import Work
from bessemer.cluster.ledger._values import NotStorable, refuse
from bessemer.cluster.ledger.operations import (
    Answer,
    BeginStep,
    CloseRun,
    Doubt,
    FinishStep,
    GiveUp,
    Observe,
    OpenRun,
    Operation,
    ReadLeft,
    ReadSpending,
    Recall,
    Record,
    Release,
    Renew,
    Reserve,
    Resolve,
    SetCap,
    Settle,
    Submit,
    Sweep,
)
from bessemer.cluster.ledger.queue_operations import (
    Acknowledge,
    AddTasks,
    ClaimTasks,
    CloseQueue,
    LeaveTask,
    MarkTasks,
    OpenQueue,
    RenewQueue,
    StopQueue,
)

_DECIDE: dict[type, Callable[[Work, Any], Answer]] = {
    OpenRun: _runs.open_run,
    Renew: _runs.renew,
    CloseRun: _runs.close_run,
    Reserve: _attempts.reserve,
    Submit: _attempts.submit,
    Settle: _attempts.settle,
    Release: _attempts.release,
    Doubt: _attempts.doubt,
    Sweep: _attempts.sweep,
    Resolve: _attempts.resolve,
    GiveUp: _attempts.give_up,
    BeginStep: _journal.begin_step,
    FinishStep: _journal.finish_step,
    Observe: _journal.observe,
    Recall: _journal.recall,
    ReadSpending: _spending.read_spending,
    ReadLeft: _spending.read_left,
    Record: _journal.record,
    SetCap: _journal.set_cap,
    AddTasks: _queue.add_tasks,
    OpenQueue: _queue.open_queue,
    RenewQueue: _queue.renew_queue,
    CloseQueue: _queue.close_queue,
    StopQueue: _queue.stop_queue,
    ClaimTasks: _queue.claim_tasks,
    LeaveTask: _queue.leave_task,
    MarkTasks: _queue.mark_tasks,
    Acknowledge: _queue.acknowledge,
}


def decide(work: Work, operation: Operation) -> Answer:
    """Apply `operation` to `work`. A refusal leaves `work` as it was, except the cost that a late settle books."""
    try:
        return _DECIDE[type(operation)](work, operation)
    except NotStorable as error:
        return not_storable(operation, error)


def not_storable(operation: Operation, error: NotStorable) -> Answer:
    return refuse(LedgerRefusal, f"{operation.op} carries a value that cannot be kept as JSON: {error}")
