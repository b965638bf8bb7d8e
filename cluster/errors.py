"""Every error Bessemer raises on purpose, and the exit code it ends a command with.

    BessemerError                      5
    ├── UsageError                     2   a flag, a file or a setting is wrong
    │   ├── SettingsError              2
    │   ├── CriteriaError              2
    │   ├── DeliverableError           2   the work handed in cannot be taken
    │   ├── PlanError                  2   a plan, a specification or its folder is wrong
    │   ├── UnknownBackend             2
    │   ├── MissingKey                 2
    │   └── UnpricedModel              2
    ├── InconclusiveError              3   nothing may be concluded
    │   └── DeadlineExceeded           3
    ├── LedgerRefusal                  5   an operation of the ledger was refused
    │   ├── RunDiverged                2   the run was opened with other pins
    │   ├── RunIsOpen                  5   another process holds the run
    │   ├── QueueIsOpen                5   another process runs the queue
    │   ├── Fenced                     5   a newer epoch holds the run or the queue
    │   ├── Closed                     5   the run has ended
    │   ├── JournalDiverged            5   the pipeline took another path than the journal
    │   ├── Pending                    5   another attempt of the call is open
    │   └── BudgetExhausted            4   a cap would be passed
    ├── InfrastructureError            5   the machine, not the work
    │   ├── LedgerUnavailable          5
    │   ├── LedgerCorrupted            5
    │   ├── LedgerTooNew               5
    │   ├── LakeError                  5
    │   ├── StepOverdue                5   a step did not end in its time
    │   ├── SandboxUnavailable         5
    │   ├── StateUnwritable            5   full disk, read-only state directory
    │   ├── WorkspaceError             5   git failed, or a run's repository is damaged
    │   └── ClusterError               5
    │       ├── NodeLost               5   a machine of the cluster is gone
    │       └── HostFull               5   a run host has as many runs as it takes
    └── Cancelled                    130

Each message is one line that names the thing, the value and the remedy. Every class takes exactly that
message, so that the errors pickle; refusals of the ledger carry their facts in `facts`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class BessemerError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, facts: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts or {}

    def __reduce__(self) -> tuple[type[BessemerError], tuple[str, dict[str, Any]]]:
        return type(self), (self.message, self.facts)


class UsageError(BessemerError):
    exit_code = 2


class SettingsError(UsageError):
    pass


class CriteriaError(UsageError):
    pass


class DeliverableError(UsageError):
    pass


class PlanError(UsageError):
    pass


class UnknownBackend(UsageError):
    pass


class MissingKey(UsageError):
    pass


class UnpricedModel(UsageError):
    pass


class InconclusiveError(BessemerError):
    exit_code = 3


class DeadlineExceeded(InconclusiveError):
    pass


class LedgerRefusal(BessemerError):
    """An operation of the ledger was refused; `facts` holds what the refusal says as data."""


class RunDiverged(LedgerRefusal):
    exit_code = 2


class RunIsOpen(LedgerRefusal):
    pass


class QueueIsOpen(LedgerRefusal):
    pass


class Fenced(LedgerRefusal):
    pass


class Closed(LedgerRefusal):
    pass


class JournalDiverged(LedgerRefusal):
    pass


class Pending(LedgerRefusal):
    pass


class BudgetExhausted(LedgerRefusal):
    exit_code = 4


class InfrastructureError(BessemerError):
    pass


class LedgerUnavailable(InfrastructureError):
    pass


class LedgerCorrupted(InfrastructureError):
    pass


class LedgerTooNew(InfrastructureError):
    pass


class LakeError(InfrastructureError):
    pass


class StepOverdue(InfrastructureError):
    pass


class SandboxUnavailable(InfrastructureError):
    pass


class StateUnwritable(InfrastructureError):
    pass


class WorkspaceError(InfrastructureError):
    pass


class ClusterError(InfrastructureError):
    pass


class NodeLost(ClusterError):
    pass


class HostFull(ClusterError):
    pass


class Cancelled(BessemerError):
    exit_code = 130


def _tree(root: type[BessemerError]) -> dict[str, type[BessemerError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def error_named(name: str, message: str, facts: dict[str, Any] | None = None) -> BessemerError:
    """Rebuild the error called `name` (as sent between processes); an unknown name gives the root class."""
    return _tree(BessemerError).get(name, BessemerError)(message, facts)
