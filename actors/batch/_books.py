"""The ledger's side of a batch: parking calls, writing down what is about to be submitted, and what came of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from bessemer.actors._call_accounting import Attempt, CallAccounting, CallLedger, Progress, surely
from bessemer.actors._calls import CallEnvelope
from bessemer.actors.backends._media import attachment_tokens
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply, Usage
from bessemer.cluster.errors import Pending
from bessemer.cluster.ledger.operations import AttemptState, Outcome, Record, Submit, Submitted
from bessemer.cluster.prices import BATCH, PriceBook
from bessemer.cluster.records import EventRecord

PARKED_SECONDS = 30 * 86_400.0
"""A parked attempt is certainly unsent, so that nothing but its own host's haste limits how long it may wait."""


class BatchLedger(CallLedger, Protocol):
    """What batches need of the ledger's client."""

    async def submit(self, operation: Submit, /) -> Submitted: ...


class Parked(NamedTuple):
    """The open attempt of a call."""

    attempt: str
    state: AttemptState


class BatchBooks(CallAccounting):
    """Reservations at the batch price, whose attempts are parked and submitted instead of sent."""

    def __init__(self, ledger: BatchLedger, prices: PriceBook, host: str, account: str) -> None:
        super().__init__(ledger, prices, host)
        self._batches = ledger
        self._account = account

    def worst_case(self, request: ModelRequest, most_tokens: int) -> int:
        """The most a call that reads so many tokens can cost in a batch, in micro-dollars. Raises UnpricedModel."""
        seen = attachment_tokens(request.backend.partition("/")[0], request.attachments)
        return self._prices.worst_case(request.backend, most_tokens, request.max_output_tokens, seen, tier=BATCH)

    def has_batch_price(self, backend: str) -> bool:
        return self._prices.has_batch_price(backend)

    async def park(self, envelope: CallEnvelope, worst: int, progress: Progress) -> Parked | Outcome:
        """The call's open attempt, made where there is none, or its outcome.

        Raises BudgetExhausted, Fenced, Closed, JournalDiverged, DeadlineExceeded.
        """
        made = self._reservation(envelope, worst)
        detail = {**made.detail, "account": self._account}
        operation = made.model_copy(update={"parked": True, "send_within": PARKED_SECONDS, "detail": detail})
        try:
            answer = await self._reserve(operation, progress)
        except Pending as refusal:
            return Parked(str(refusal.facts["attempt"]), refusal.facts["state"])
        return answer if isinstance(answer, Outcome) else Parked(answer.attempt, answer.state)

    async def intend(self, attempts: Iterable[str], mark: str) -> frozenset[str]:
        """Make it durable that these are about to be submitted as `mark`; returns those that may be."""
        return await self._submit(Submit(attempts=tuple(attempts), batch=mark))

    async def named(self, attempts: Iterable[str], mark: str, batch: str) -> None:
        """Write down the vendor's name of what was submitted as `mark`."""
        await self._submit(Submit(attempts=tuple(attempts), batch=batch, was=mark))

    async def collect(
        self, envelope: CallEnvelope, attempt: Attempt, result: Reply | CallFailure, usage: Usage, progress: Progress
    ) -> Outcome:
        """Settle at the batch price; where that changed while the batch was out, at the dearer one."""
        backend = envelope.request.backend
        cost = max(self._prices.cost(backend, usage, at) for at in (attempt.sent_at, datetime.now(UTC)))
        return await self.settle(envelope, attempt, result, usage, progress, cost=cost)

    async def tell(self, kind: str, text: str, run: str = "") -> None:
        """Put an event for people into the lake."""
        row = EventRecord(run=run, kind=kind, text=text).to_lake()
        await self._ledger.record(Record(token=f"batch|{self.instance}|{uuid.uuid4().hex}", rows=(row,)))

    async def _submit(self, operation: Submit) -> frozenset[str]:
        done = await surely(lambda: self._batches.submit(operation))
        return frozenset(done.attempts)
