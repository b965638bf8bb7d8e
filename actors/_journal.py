"""A step as hosts work on it: the ledger's step, and model calls through the backend hosts."""

from __future__ import annotations

from typing import Protocol

from bessemer.actors._calls import BudgetRefused, CallEnvelope, read_answer
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.cluster.errors import BudgetExhausted
from bessemer.cluster.ledger import LedgerClient
from bessemer.cluster.ledger.operations import Outcome
from bessemer.cluster.run import Step, Ticket

OVERNIGHT_SECONDS = 7 * 86_400.0
"""How long a call may wait for its batches: each may take a day, and an expired one may be followed by another."""


class Caller(Protocol):
    """Whoever makes calls: the client of the backend hosts, or a service in this process."""

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused: ...


class StepJournal(Step):
    """A step that can buy calls. They are sequential and numbered, so that a replay finds each by its number."""

    def __init__(
        self,
        ticket: Ticket,
        ledger: LedgerClient,
        backends: Caller,
        *,
        purpose: str = "",
        persona: str = "",
        persona_content_hash: str = "",
    ) -> None:
        super().__init__(ticket, ledger)
        self._backends = backends
        self._purpose = purpose
        self._persona = persona
        self._persona_content_hash = persona_content_hash
        self._calls = 0

    async def call(self, request: ModelRequest) -> Reply | CallFailure:
        """Make the step's next call, or give back what it brought the first time.

        Raises BudgetExhausted where a cap refuses it: no outcome, so that a raised cap lets the run go on.
        """
        index, self._calls = self._calls, self._calls + 1
        ended = await self._backends.call(
            CallEnvelope(
                run=self.ticket.run,
                path=self.ticket.path,
                index=index,
                epoch=self.ticket.epoch,
                scopes=self.ticket.scopes,
                trace=self.ticket.trace,
                request=request,
                persona=self._persona,
                persona_content_hash=self._persona_content_hash,
                purpose=self._purpose,
                urgency=self.ticket.urgency,
                priority=self.ticket.priority,
                **({"within": OVERNIGHT_SECONDS} if self.ticket.urgency == "overnight" else {}),
            )
        )
        if isinstance(ended, BudgetRefused):
            raise BudgetExhausted(ended.failure.message, ended.facts)
        return read_answer(ended)
