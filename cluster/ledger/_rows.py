"""A unit of work: the rows one group of operations needs, as plain objects, and what became of them.

Operations are decided on these objects in memory, in the order they came in, so that members of one group see each
other's effects; `_flush` then writes what is new and what changed. Field names are the columns' names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")
R = TypeVar("R")


LONGEST_LEASE_SECONDS = 600.0
"""No lease is given for longer."""


@dataclass(slots=True)
class ScopeRec:
    name: str
    cap: int | None
    version: int
    used: int
    in_doubt: int


@dataclass(slots=True)
class RunRec:
    id: str
    pipeline: str
    pins: str | None
    pins_hash: str
    owner: str
    lease_until: float
    epoch: int
    status: str
    scopes: str
    opened_at: float
    ended_at: float | None
    erased_at: float | None

    def is_held(self, now: float) -> bool:
        """Whether its owner's lease lives. One further ahead than any lease was given before the clock went back."""
        return self.status == "open" and now < self.lease_until <= now + LONGEST_LEASE_SECONDS


@dataclass(slots=True)
class TokenRec:
    id: str
    epoch: int
    status: str


@dataclass(slots=True)
class StepRec:
    run: str
    path: str
    state: str
    result: str | None


@dataclass(slots=True)
class CallRec:
    id: str
    kind: str
    value: str | None
    request_hash: str | None
    cost: int
    usage: str
    at: float


@dataclass(slots=True)
class AttemptRec:
    call: str
    n: int
    run: str
    token: str
    request_hash: str
    scopes: str
    worst: int
    charge: int
    state: str
    epoch: int
    reserved_at: float
    send_by: float
    deadline: float
    batch: str
    submitted_at: float
    """0 stands for "not yet", here and below."""
    doubted_at: float
    ended_at: float
    usage: str
    reason: str
    detail: str

    @property
    def id(self) -> str:
        return f"{self.call}|{self.n}"


class Charged(NamedTuple):
    """Of an attempt, what a sum needs."""

    call: str
    n: int
    charge: int
    state: str
    usage: str


@dataclass(slots=True)
class ObservationRec:
    run: str
    path: str
    name: str
    value: str


@dataclass(slots=True)
class QueueRec:
    name: str
    owner: str
    lease_until: float
    epoch: int
    stopped: int
    last_place: int
    acknowledged_at: float


@dataclass(slots=True)
class TaskRec:
    id: str
    queue: str
    key: str
    digest: str
    title: str
    priority: float
    place: int
    spec: str
    run: str
    added_at: float
    state: str = "queued"
    tries: int = 0
    not_before: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    reason: str = ""
    result: str = "{}"
    degraded: str = ""
    degraded_at: float = 0.0


@dataclass(slots=True)
class AuditRec:
    at: float
    action: str
    subject: str
    by: str
    detail: str


class Rows(Generic[K, R]):
    """One table's rows: those known, and of them the new ones and the changed ones."""

    __slots__ = ("changed", "fresh", "known")

    def __init__(self) -> None:
        self.known: dict[K, R] = {}
        self.fresh: dict[K, R] = {}
        self.changed: dict[K, R] = {}

    def add(self, key: K, row: R) -> R:
        self.known[key] = self.fresh[key] = row
        return row

    def touch(self, key: K) -> None:
        """Note that the row changed; a new one is written whole anyway."""
        if key not in self.fresh:
            self.changed[key] = self.known[key]


@dataclass(slots=True)
class Policy:
    """What the ledger's owner decides. All in seconds."""

    lease_seconds: float = 15.0
    """How long a run is held without a sign of life from its owner."""
    live_billing_seconds: float = 3600.0
    """Longest time after its last moment of sending in which a vendor may still bill a live call."""
    batch_billing_seconds: float = 86400.0
    """Longest time after its submission in which a vendor may still bill a batch."""


@dataclass(slots=True)
class Work:
    """Everything one group of operations sees and leaves behind."""

    now: float
    """The database's clock, in seconds since the epoch; one reading for the whole group."""
    policy: Policy
    scopes: Rows[str, ScopeRec] = field(default_factory=Rows)
    runs: Rows[str, RunRec] = field(default_factory=Rows)
    tokens: Rows[str, TokenRec] = field(default_factory=Rows)
    steps: Rows[tuple[str, str], StepRec] = field(default_factory=Rows)
    calls: Rows[str, CallRec] = field(default_factory=Rows)
    attempts: Rows[tuple[str, int], AttemptRec] = field(default_factory=Rows)
    attempts_of: dict[str, list[AttemptRec]] = field(default_factory=dict)
    """Attempts by call, oldest first."""
    observations: Rows[tuple[str, str, str], ObservationRec] = field(default_factory=Rows)
    charged: dict[tuple[str, str], list[Charged]] = field(default_factory=dict)
    """What was bought below a step (run, path) that somebody asks about, as it was before the group."""
    queues: Rows[str, QueueRec] = field(default_factory=Rows)
    tasks: Rows[str, TaskRec] = field(default_factory=Rows)
    waiting: dict[str, int] = field(default_factory=dict)
    """Tasks queued, by queue; only for queues that are claimed from."""
    outbox: list[tuple[str, str]] = field(default_factory=list)
    """(table, row as JSON) in the order of the operations."""
    audit: list[AuditRec] = field(default_factory=list)

    def log(self, action: str, subject: str, by: str, detail: str) -> None:
        self.audit.append(AuditRec(self.now, action, subject, by, detail))
