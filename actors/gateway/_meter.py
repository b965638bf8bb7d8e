"""The money side of the gateway: each request of an agent is a call of its own, reserved before and settled after.

| object | role | lifetime |
|---|---|---|
| `Meter` | reserves and ends requests through the host's own accounting | the host |
| `Parent` | the call whose agent makes the requests | one run of the agent |
| `Purchase` | one request on its way, with its lease and its reservation | the request |
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bessemer.actors._call_accounting import Attempt, CallAccounting, Progress
from bessemer.actors._call_limits import expected_tokens, limit_key
from bessemer.actors._calls import CallEnvelope
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply, Usage
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import JournalDiverged
from bessemer.cluster.ledger.operations import Outcome
from bessemer.cluster.limits import Feedback, Lease, LimitsLike
from bessemer.cluster.prices import PriceBook

REQUEST_SECONDS = 600.0
"""Longest time one request of an agent may take."""
WAIT_SECONDS = 120.0
"""Longest time it waits for its turn and for the ledger."""
IMAGE_TOKENS = 16_384
"""More than any of the vendors counts for one picture."""


@dataclass(frozen=True)
class Parent:
    """The call of a run that started the agent. Nothing of it is random, so a request's key says where it belongs."""

    run: str
    path: str
    index: int
    attempt: int
    epoch: int
    scopes: tuple[str, ...]
    persona: str = ""
    priority: float = 1.0

    @property
    def requests_path(self) -> str:
        """Path of the agent's requests. Another attempt takes another path through its work, and so another name."""
        return f"{self.path}/agent-{self.index}.{self.attempt}"


class Purchase:
    """One request that may be sent now and must be ended."""

    def __init__(self, meter: Meter, envelope: CallEnvelope, lease: Lease, attempt: Attempt, progress: Progress):
        self._meter = meter
        self._envelope = envelope
        self._lease = lease
        self._attempt = attempt
        self._progress = progress
        self._feedback: Feedback = "unsent"
        self.cost = 0
        """Micro-dollars, once settled."""

    def send(self) -> None:
        """To be said directly before the request leaves."""
        self._attempt.send()
        self._feedback = "failed"

    async def settle(self, usage: Usage, model: str, request_id: str) -> None:
        """It was answered: book what it cost."""
        self._feedback = "ok"
        self._progress.tries += 1
        reply = Reply(usage=usage, model=model, request_id=request_id)
        ended = await self._meter.books.settle(self._envelope, self._attempt, reply, usage, self._progress)
        self.cost = ended.cost

    async def drop(self, failure: CallFailure) -> None:
        """It brought nothing: free where it was certainly not billed, else charged at its worst."""
        throttled = failure.kind in ("rate_limited", "overloaded")
        server_fault = failure.kind in ("timeout", "connection", "infrastructure", "auth", "permission")
        self._feedback = "throttled" if throttled else "failed" if server_fault else "ok"
        await self._meter.limits.release(self._lease, self._feedback, failure.retry_after)
        await self._meter.books.drop(self._attempt, failure)

    async def close(self) -> None:
        """End what nothing else ended, and give the lease back."""
        try:
            await self._meter.limits.release(self._lease, self._feedback)
        finally:
            await self._meter.books.abandon(self._attempt)


class Meter:
    """Buys an agent's requests under the host's name."""

    def __init__(
        self,
        books: CallAccounting,
        limits: LimitsLike,
        prices: PriceBook,
        settings: BackendSettings | None = None,
    ) -> None:
        self.books = books
        self.limits = limits
        self._prices = prices
        self._settings = settings or BackendSettings()

    async def reserve(self, parent: Parent, serial: int, request: ModelRequest, size: int, images: int) -> Purchase:
        """A purchase that may be sent now. `size` is the request's length in bytes.

        Raises BudgetExhausted, UnpricedModel, CircuitOpen, DeadlineExceeded, LedgerUnavailable, Fenced, Closed.
        """
        worst = self._prices.worst_case(request.backend, size + images * IMAGE_TOKENS, request.max_output_tokens)
        envelope = CallEnvelope(
            run=parent.run,
            path=parent.requests_path,
            index=serial,
            epoch=parent.epoch,
            scopes=parent.scopes,
            request=request,
            persona=parent.persona,
            purpose="agent",
            priority=parent.priority,
        )
        now = asyncio.get_running_loop().time()
        progress = Progress(started=now, deadline=now + WAIT_SECONDS)
        key = limit_key(request.backend, self._settings)
        lease = await self.limits.acquire(
            key,
            progress.left(),
            flow=parent.run,
            weight=parent.priority,
            tokens=expected_tokens(envelope.request.most_tokens),
        )
        try:
            reserved = await self.books.reserve(envelope, worst, progress)
        except BaseException:
            await self.limits.release(lease, "unsent")
            raise
        if isinstance(reserved, Outcome):
            await self.limits.release(lease, "unsent")
            raise JournalDiverged(f"request {serial} of {parent.requests_path} was made before; start the agent anew")
        return Purchase(self, envelope, lease, reserved, progress)
