"""The ledger's contract for calls, in memory: what a service may rely on, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bessemer.cluster.errors import BudgetExhausted, JournalDiverged, LedgerUnavailable, Pending
from bessemer.cluster.ledger.operations import (
    AttemptState,
    AttemptStatus,
    Done,
    Doubt,
    GiveUp,
    LakeRecord,
    Outcome,
    Record,
    Release,
    Reserve,
    Reserved,
    Settle,
    attempt_id,
)


@dataclass
class Stored:
    token: str
    hash: str
    worst: int
    call: tuple[str, str, int]
    state: AttemptState = "reserved"
    charge: int = 0


@dataclass
class MemoryLedger:
    cap: int | None = None
    attempts: dict[str, Stored] = field(default_factory=dict)
    outcomes: dict[tuple[str, str, int], Outcome] = field(default_factory=dict)
    rows: list[LakeRecord] = field(default_factory=list)
    down: int = 0
    """How many of the next operations find the ledger unavailable."""
    log: list[Any] = field(default_factory=list)

    @property
    def used(self) -> int:
        return sum(stored.charge for stored in self.attempts.values())

    def states(self) -> list[AttemptState]:
        return [stored.state for stored in self.attempts.values()]

    async def reserve(self, operation: Reserve, /) -> Reserved | Outcome:
        self._take(operation)
        call = (operation.run, operation.path, operation.index)
        mine = {name: stored for name, stored in self.attempts.items() if stored.call == call}
        for name, stored in mine.items():
            if stored.token == operation.token:
                return self.outcomes.get(call) or Reserved(attempt=name, state=stored.state, fresh=False)
        if call in self.outcomes:
            return self.outcomes[call]
        for name, stored in mine.items():
            if stored.hash != operation.request_hash:
                raise JournalDiverged("another request")
            if stored.state == "reserved":
                raise Pending("an attempt is open", {"attempt": name, "token": stored.token})
        if self.cap is not None and self.used + operation.worst > self.cap:
            facts = {"scope": operation.scopes[0], "left": self.cap - self.used, "needed": operation.worst}
            raise BudgetExhausted(f"{operation.scopes[0]} has {facts['left']} left", facts)
        name = attempt_id(*call, len(mine) + 1)
        self.attempts[name] = Stored(operation.token, operation.request_hash, operation.worst, call)
        self.attempts[name].charge = operation.worst
        return Reserved(attempt=name, state="reserved", fresh=True)

    async def settle(self, operation: Settle, /) -> Outcome:
        self._take(operation)
        stored = self.attempts[operation.attempt]
        stored.state, stored.charge = "settled", operation.cost
        made = Outcome(kind="answer", value=operation.answer, cost=operation.cost, usage=operation.usage)
        if stored.call not in self.outcomes:
            self.rows.extend(operation.rows)
        return self.outcomes.setdefault(stored.call, made)

    async def release(self, operation: Release, /) -> AttemptStatus:
        self._take(operation)
        return self._end(operation.attempt, "released", 0)

    async def doubt(self, operation: Doubt, /) -> AttemptStatus:
        self._take(operation)
        return self._end(operation.attempt, "in_doubt", None)

    async def give_up(self, operation: GiveUp, /) -> Outcome:
        self._take(operation)
        self.rows.extend(operation.rows)
        call = (operation.run, operation.path, operation.index)
        return self.outcomes.setdefault(call, Outcome(kind="failure", value=operation.failure))

    async def record(self, operation: Record, /) -> Done:
        self._take(operation)
        self.rows.extend(operation.rows)
        return Done()

    def _end(self, attempt: str, state: AttemptState, charge: int | None) -> AttemptStatus:
        stored = self.attempts[attempt]
        if stored.state == "reserved":
            stored.state = state
            stored.charge = stored.charge if charge is None else charge
        return AttemptStatus(attempt=attempt, state=stored.state, charge=stored.charge)

    def _take(self, operation: Any) -> None:
        if self.down:
            self.down -= 1
            raise LedgerUnavailable("the keeper restarts")
        self.log.append(operation)
