"""The ledger: runs, steps, calls and money, durable and fenced."""

from bessemer.cluster.ledger._client import LedgerClient
from bessemer.cluster.ledger._keeper import GroupCommit
from bessemer.cluster.ledger._ledger import Ledger
from bessemer.cluster.ledger._lock import KeeperLock
from bessemer.cluster.ledger._reads import RunRow, ScopeRow
from bessemer.cluster.ledger.operations import (
    BeginStep,
    CloseRun,
    Doubt,
    FinishStep,
    GiveUp,
    LakeRecord,
    Observe,
    OpenRun,
    Outcome,
    Recall,
    Record,
    Release,
    Renew,
    Reserve,
    Resolve,
    RunStatus,
    SetCap,
    Settle,
    Submit,
    Sweep,
)

__all__ = [
    "BeginStep",
    "CloseRun",
    "Doubt",
    "FinishStep",
    "GiveUp",
    "GroupCommit",
    "KeeperLock",
    "LakeRecord",
    "Ledger",
    "LedgerClient",
    "Observe",
    "OpenRun",
    "Outcome",
    "Recall",
    "Record",
    "Release",
    "Renew",
    "Reserve",
    "Resolve",
    "RunRow",
    "RunStatus",
    "ScopeRow",
    "SetCap",
    "Settle",
    "Submit",
    "Sweep",
]
