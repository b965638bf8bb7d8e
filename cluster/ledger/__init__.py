"""The ledger: a budget that holds, and nothing bought twice. `docs/ledger.md` explains it.

What touches the database is imported when first asked for: SQLAlchemy costs half a second of CPU and 25 MB, and only
the keeper and some commands need it; every other process speaks to the keeper.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bessemer.cluster.ledger._client import LedgerClient, Watcher
from bessemer.cluster.ledger._lock import KeeperLock
from bessemer.cluster.ledger.operations import (
    AttemptStatus,
    BeginStep,
    CapState,
    CloseRun,
    Done,
    Doubt,
    FinishStep,
    GiveUp,
    LakeRecord,
    Leased,
    Left,
    Observe,
    Observed,
    Opened,
    OpenRun,
    Outcome,
    ReadLeft,
    ReadSpending,
    Recall,
    Recalled,
    Record,
    Refusal,
    Release,
    Renew,
    Reserve,
    Reserved,
    Resolve,
    RunStatus,
    SetCap,
    Settle,
    Spending,
    Spent,
    StepState,
    Submit,
    Submitted,
    Sweep,
    Swept,
    attempt_id,
)
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
    TaskState,
)

if TYPE_CHECKING:
    from bessemer.cluster.ledger._keeper import GroupCommit
    from bessemer.cluster.ledger._ledger import Ledger
    from bessemer.cluster.ledger._move import Moved, move_ledger
    from bessemer.cluster.ledger._queue_reads import QueueRow, TaskRow
    from bessemer.cluster.ledger._reads import AttemptRow, AuditRow, CallRow, RunRow, ScopeRow, StepRow

_LATER = {
    "GroupCommit": "_keeper",
    "Ledger": "_ledger",
    "Moved": "_move",
    "move_ledger": "_move",
    "QueueRow": "_queue_reads",
    "TaskRow": "_queue_reads",
    **dict.fromkeys(("AttemptRow", "AuditRow", "CallRow", "RunRow", "ScopeRow", "StepRow"), "_reads"),
}

__all__ = [
    "Acknowledge",
    "AddTasks",
    "Added",
    "AttemptRow",
    "AttemptStatus",
    "AuditRow",
    "BeginStep",
    "CallRow",
    "CapState",
    "ClaimTasks",
    "Claimed",
    "ClaimedTask",
    "CloseQueue",
    "CloseRun",
    "Done",
    "Doubt",
    "FinishStep",
    "GiveUp",
    "GroupCommit",
    "KeeperLock",
    "LakeRecord",
    "Leased",
    "LeaveTask",
    "Ledger",
    "LedgerClient",
    "Left",
    "MarkTasks",
    "Marked",
    "Moved",
    "NewTask",
    "Observe",
    "Observed",
    "OpenQueue",
    "OpenRun",
    "Opened",
    "Outcome",
    "QueueLeased",
    "QueueOpened",
    "QueueRow",
    "ReadLeft",
    "ReadSpending",
    "Recall",
    "Recalled",
    "Record",
    "Refusal",
    "Release",
    "Renew",
    "RenewQueue",
    "Reserve",
    "Reserved",
    "Resolve",
    "RunRow",
    "RunStatus",
    "ScopeRow",
    "SetCap",
    "Settle",
    "Spending",
    "Spent",
    "StepRow",
    "StepState",
    "StopQueue",
    "Submit",
    "Submitted",
    "Sweep",
    "Swept",
    "TaskRow",
    "TaskState",
    "Watcher",
    "attempt_id",
    "move_ledger",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
