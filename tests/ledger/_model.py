"""The ledger as an independent model: no totals are kept, every number is summed from the attempts when asked for.

`Model.apply` predicts the answer to an operation as a comparable value; `said` brings a real answer into that form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bessemer.cluster.ledger import (
    AttemptStatus,
    CapState,
    Done,
    Leased,
    Left,
    Observed,
    Opened,
    Outcome,
    Recalled,
    Refusal,
    Reserved,
    Spent,
    StepState,
    Submitted,
    Swept,
)
from bessemer.cluster.ledger.operations import Answer, Operation

LEASE, LIVE_BILLING, BATCH_BILLING = 15.0, 3600.0, 86400.0
OPEN = ("reserved", "parked", "submitted")
Said = tuple[Any, ...]


@dataclass
class Attempt:
    call: tuple[str, str, int]
    n: int
    token: str
    hash: str
    scopes: frozenset[str]
    worst: int
    epoch: int
    send_by: float
    deadline: float
    state: str
    charge: int
    batch: str = ""
    submitted_at: float | None = None
    cost: int = 0

    @property
    def id(self) -> str:
        run, path, index = self.call
        return f"{run}|{path}|{index}|{self.n}"


@dataclass
class RunModel:
    pins: Any
    owner: str
    lease: float
    epoch: int = 1
    status: str = "open"
    tokens: dict[str, tuple[int, str]] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()


@dataclass
class Model:
    now: float
    runs: dict[str, RunModel] = field(default_factory=dict)
    caps: dict[str, tuple[int | None, int]] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    outcomes: dict[tuple[str, str, int], tuple[str, Any, str | None]] = field(default_factory=dict)
    steps: dict[tuple[str, str], Any] = field(default_factory=dict)
    observations: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)
    rows: list[Any] = field(default_factory=list)
    """Names of every row that must reach the lake, in order."""
    over: set[str] = field(default_factory=set)
    """Scopes that may stand above their cap: lowered, billed beyond the worst case, or told the truth late."""

    def used(self, scope: str) -> int:
        return sum(one.charge for one in self.attempts if scope in one.scopes)

    def in_doubt(self, scope: str) -> int:
        return sum(one.charge for one in self.attempts if scope in one.scopes and one.state == "in_doubt")

    def of(self, call: tuple[str, str, int]) -> list[Attempt]:
        return [one for one in self.attempts if one.call == call]

    def find(self, attempt: str) -> Attempt | None:
        return next((one for one in self.attempts if one.id == attempt), None)

    def apply(self, op: Operation) -> Said:
        return getattr(self, op.op)(op)  # type: ignore[no-any-return]

    # --- runs ---

    def open_run(self, op: Any) -> Said:
        run = self.runs.get(op.run)
        if run is None:
            self._caps(op)
            self.runs[op.run] = RunModel(
                op.pins, op.owner, self.now + LEASE, tokens={op.token: (1, "new")}, scopes=tuple(op.caps)
            )
            return ("opened", 1, "open", False)
        if run.pins != op.pins:
            return ("refused", "RunDiverged")
        if op.token in run.tokens:
            epoch, before = run.tokens[op.token]
            if epoch != run.epoch:
                return ("refused", "Fenced")
            return ("opened", epoch, "open" if before == "new" else before, before != "new")
        if run.status == "done":
            return ("opened", run.epoch, "done", True)
        if run.status == "open" and run.lease > self.now and run.owner != op.owner and not op.take_over:
            return ("refused", "RunIsOpen", run.owner)
        self._caps(op)
        self._lose([one for one in self.attempts if one.call[0] == op.run and one.state == "reserved"])
        before, run.status, run.owner, run.epoch = run.status, "open", op.owner, run.epoch + 1
        run.lease, run.scopes = self.now + LEASE, tuple(op.caps)
        run.tokens[op.token] = (run.epoch, before)
        return ("opened", run.epoch, before, True)

    def _caps(self, op: Any) -> None:
        for scope, cap in op.caps.items():
            self.caps.setdefault(scope, (cap, 1))

    def _lose(self, attempts: list[Attempt]) -> None:
        for one in attempts:
            one.state, one.charge = "in_doubt", one.worst

    def _stale(self, op: Any) -> Said | None:
        run = self.runs.get(op.run)
        if run is None:
            return ("refused", "LedgerRefusal")
        return None if run.epoch == op.epoch else ("refused", "Fenced")

    def renew(self, op: Any) -> Said:
        if stale := self._stale(op):
            return stale
        run = self.runs[op.run]
        if run.status == "open":
            if run.owner != op.owner:
                return ("refused", "Fenced")
            run.lease = self.now + LEASE
        return ("leased",)

    def close_run(self, op: Any) -> Said:
        if stale := self._stale(op):
            return stale
        run = self.runs[op.run]
        if run.status == "open" or (run.status == "interrupted" and op.status != "interrupted"):
            mine = [one for one in self.attempts if one.call[0] == op.run]
            self._lose([one for one in mine if one.state == "reserved"])
            for one in mine:
                if one.state == "parked":
                    one.state, one.charge = "released", 0
            run.status, run.lease = op.status, self.now
            self._emit(op)
        return ("done",)

    def _emit(self, op: Any) -> None:
        self.rows += [record.row["name"] for record in op.rows]

    # --- attempts ---

    def reserve(self, op: Any) -> Said:
        if stale := self._stale(op):
            return stale
        if self.runs[op.run].status != "open":
            return ("refused", "Closed")
        call = (op.run, op.path, op.index)
        tries = self.of(call)
        if call in self.outcomes:
            kind, value, known_hash = self.outcomes[call]
            return ("refused", "JournalDiverged") if known_hash not in (None, op.request_hash) else (kind, value)
        if tries and tries[-1].state in OPEN:
            if tries[-1].hash != op.request_hash:
                return ("refused", "JournalDiverged")
            if tries[-1].token != op.token:
                return ("refused", "Pending", tries[-1].id)
        for one in tries:
            if one.token == op.token:
                return ("reserved", one.id, one.state, False)
        return self._buy(op, call, len(tries) + 1)

    def _buy(self, op: Any, call: tuple[str, str, int], n: int) -> Said:
        for scope in sorted(op.scopes):
            cap = self.caps[scope][0]
            if cap is not None and self.used(scope) + op.worst > cap:
                left = max(cap - self.used(scope), 0)
                return ("refused", "BudgetExhausted", scope, left, op.worst, self.in_doubt(scope))
        send_by = self.now + op.send_within
        made = Attempt(
            call,
            n,
            op.token,
            op.request_hash,
            frozenset(op.scopes),
            op.worst,
            op.epoch,
            send_by,
            send_by + op.answer_within,
            "parked" if op.parked else "reserved",
            op.worst,
        )
        self.attempts.append(made)
        return ("reserved", made.id, made.state, True)

    def submit(self, op: Any) -> Said:
        taken = []
        for name in op.attempts:
            one = self.find(name)
            if one is not None and one.state == "parked":
                one.state, one.batch, one.submitted_at = "submitted", op.batch, self.now
                taken.append(name)
            elif one is not None and one.state == "submitted" and one.batch == op.batch:
                taken.append(name)
        return ("submitted", tuple(taken))

    def settle(self, op: Any) -> Said:
        one = self.find(op.attempt)
        if one is None:
            return ("refused", "LedgerRefusal")
        if one.state not in ("settled", "settled_late"):
            if one.state in ("released", "resolved"):
                self.rows.append(("settled_late", one.id))
                self.over |= one.scopes
            if op.cost > one.worst:
                self.over |= one.scopes
            one.state = "settled" if one.state in OPEN else "settled_late"
            one.charge = one.cost = op.cost
            if one.call not in self.outcomes and self.of(one.call)[-1].hash == one.hash:
                self.outcomes[one.call] = ("answer", op.answer, one.hash)
                self._emit(op)
        if self.runs[one.call[0]].epoch != op.epoch:
            return ("refused", "Fenced")
        if one.call not in self.outcomes:
            return ("refused", "JournalDiverged")
        return self.outcomes[one.call][:2]

    def _status(self, one: Attempt) -> Said:
        return ("attempt", one.id, one.state, one.charge)

    def release(self, op: Any) -> Said:
        one = self.find(op.attempt)
        if one is None:
            return ("refused", "LedgerRefusal")
        if one.state in (*OPEN, "in_doubt"):
            one.state, one.charge = "released", 0
        return self._status(one)

    def doubt(self, op: Any) -> Said:
        one = self.find(op.attempt)
        if one is None:
            return ("refused", "LedgerRefusal")
        if one.state in ("reserved", "submitted"):
            self._lose([one])
        return self._status(one)

    def sweep(self, op: Any) -> Said:
        lost = [one for one in self.attempts if one.state == "reserved" and one.deadline < self.now]
        self._lose(lost)
        return ("swept", tuple(sorted(one.id for one in lost)))

    def billed_until(self, one: Attempt) -> float:
        if one.submitted_at is not None:
            return one.submitted_at + BATCH_BILLING
        return max(one.send_by + LIVE_BILLING, one.deadline)

    def resolve(self, op: Any) -> Said:
        one = self.find(op.attempt)
        if one is None:
            return ("refused", "LedgerRefusal")
        if one.state == "in_doubt":
            if self.now < self.billed_until(one):
                return ("refused", "LedgerRefusal")
            one.state, one.charge = "resolved", op.cost
            if op.cost > one.worst:
                self.over |= one.scopes
        return self._status(one)

    def give_up(self, op: Any) -> Said:
        if stale := self._stale(op):
            return stale
        call = (op.run, op.path, op.index)
        tries = self.of(call)
        if call not in self.outcomes:
            if tries and tries[-1].state in OPEN:
                return ("refused", "Pending", tries[-1].id)
            self.outcomes[call] = ("failure", op.failure, tries[-1].hash if tries else None)
            self._emit(op)
        return self.outcomes[call][:2]

    # --- what a run remembers, and caps ---

    def begin_step(self, op: Any) -> Said:
        if stale := self._stale(op):
            return stale
        if (op.run, op.path) not in self.steps:
            if self.runs[op.run].status != "open":
                return ("refused", "Closed")
            self.steps[op.run, op.path] = None
        result = self.steps[op.run, op.path]
        return ("step", result is not None, result)

    def finish_step(self, op: Any) -> Said:
        if stale := self._stale(op):
            return stale
        known = self.steps.get((op.run, op.path))
        if known is not None and known != op.result:
            return ("refused", "JournalDiverged")
        if known is None:
            self.steps[op.run, op.path] = op.result
            self._emit(op)
        return ("step", True, op.result)

    def observe(self, op: Any) -> Said:
        if stale := self._stale(op):
            return stale
        return ("observed", self.observations.setdefault((op.run, op.path, op.name), op.value))

    def recall(self, op: Any) -> Said:
        key = (op.run, op.path, op.name)
        return ("recalled", key in self.observations, self.observations.get(key))

    def read_spending(self, op: Any) -> Said:
        steps = op.path.split("/") if op.path else []
        mine = [one for one in self.attempts if one.call[0] == op.run and one.call[1].split("/")[: len(steps)] == steps]
        return (
            "spent",
            len(mine),
            sum(one.charge for one in mine),
            sum(o.charge for o in mine if o.state == "in_doubt"),
        )

    def read_left(self, op: Any) -> Said:
        run = self.runs.get(op.run)
        caps = {scope: self.caps[scope][0] for scope in run.scopes} if run else {}
        return ("left", min((cap - self.used(scope) for scope, cap in caps.items() if cap is not None), default=None))

    def record(self, op: Any) -> Said:
        if op.token not in self.records:
            self.records.add(op.token)
            self._emit(op)
        return ("done",)

    def set_cap(self, op: Any) -> Said:
        cap, version = self.caps.get(op.scope, (None, 0))
        if version and (op.cap, op.version) == (cap, version):
            return ("cap", cap, version, self.used(op.scope))
        if op.version != version + 1:
            return ("refused", "LedgerRefusal")
        self.caps[op.scope] = (op.cap, op.version)
        if op.cap is not None and op.cap < self.used(op.scope):
            self.over.add(op.scope)
        return ("cap", op.cap, op.version, self.used(op.scope))


_FACTS = {
    "Pending": ("attempt",),
    "RunIsOpen": ("owner",),
    "BudgetExhausted": ("scope", "left", "needed", "in_doubt"),
}


def said(answer: Answer) -> Said:
    """A real answer in the form the model predicts."""
    match answer:
        case Refusal():
            return ("refused", answer.error, *(answer.facts[name] for name in _FACTS.get(answer.error, ())))
        case Opened():
            return ("opened", answer.epoch, answer.status, answer.resumed)
        case Reserved():
            return ("reserved", answer.attempt, answer.state, answer.fresh)
        case Outcome():
            return (answer.kind, answer.value)
        case AttemptStatus():
            return ("attempt", answer.attempt, answer.state, answer.charge)
        case Submitted():
            return ("submitted", answer.attempts)
        case Swept():
            return ("swept", answer.attempts)
        case StepState():
            return ("step", answer.done, answer.result)
        case Observed():
            return ("observed", answer.value)
        case Recalled():
            return ("recalled", answer.found, answer.value)
        case Spent():
            return ("spent", answer.spending.calls, answer.spending.cost, answer.spending.in_doubt)
        case Left():
            return ("left", answer.left)
        case CapState():
            return ("cap", answer.cap, answer.version, answer.used)
        case Leased():
            return ("leased",)
        case Done():
            return ("done",)
