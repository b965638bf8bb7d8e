"""The ledger's side of a call: reserving, and ending every reservation in one of its ways.

| object | role | lifetime |
|---|---|---|
| `CallLedger` | what is needed of the ledger's client | the host |
| `CallAccounting` | makes and ends reservations under this host's name | the host |
| `Attempt` | one reservation on its way to its end | one sending |
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from bessemer.actors._call_rows import Ended, bill_event, call_row
from bessemer.actors._calls import CallEnvelope, failure_value, reply_value
from bessemer.actors.backends._media import attachment_tokens
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply, Usage
from bessemer.cluster.budget import DAY, DayBudget
from bessemer.cluster.errors import (
    BessemerError,
    DeadlineExceeded,
    LedgerRefusal,
    LedgerUnavailable,
    Pending,
    StateUnwritable,
)
from bessemer.cluster.ledger.operations import (
    AttemptStatus,
    CapState,
    Done,
    Doubt,
    GiveUp,
    Outcome,
    Record,
    Release,
    Reserve,
    Reserved,
    SetCap,
    Settle,
)
from bessemer.cluster.prices import PriceBook

T = TypeVar("T")

SEND_WITHIN = 30.0
"""Seconds after a reservation in which it may be sent."""
ANSWER_GRACE = 60.0
"""Seconds beyond a request's time-out until the sweep may call its attempt lost."""
TICKS_PER_MICRO_DOLLAR = 10_000
LEDGER_PATIENCE = 60.0
"""Seconds a write that must not be lost is repeated while the ledger does not answer."""
PENDING_PAUSE = 0.25
"""Seconds between looks at an attempt that another host has in flight."""

_APART: set[asyncio.Task[Any]] = set()
"""Work that must end: the event loop itself keeps no strong reference to a task."""


class CallLedger(Protocol):
    """What calls need of the ledger's client."""

    async def reserve(self, operation: Reserve, /) -> Reserved | Outcome: ...

    async def settle(self, operation: Settle, /) -> Outcome: ...

    async def release(self, operation: Release, /) -> AttemptStatus: ...

    async def doubt(self, operation: Doubt, /) -> AttemptStatus: ...

    async def give_up(self, operation: GiveUp, /) -> Outcome: ...

    async def record(self, operation: Record, /) -> Done: ...

    async def set_cap(self, operation: SetCap, /) -> CapState: ...


@dataclass
class Progress:
    """How far a call has come. Times are the event loop's."""

    started: float
    deadline: float
    tries: int = 0
    lost: int = 0
    """Attempts that may be billed without an answer."""
    inherited: int = 0
    """Attempts of dead hosts that this one found open and put in doubt."""

    def left(self) -> float:
        """Seconds until the call's deadline. Raises DeadlineExceeded when there are none."""
        left = self.deadline - _now()
        if left <= 0:
            raise DeadlineExceeded("the call did not end within its time; resume the run, or give it more time")
        return left


@dataclass
class Attempt:
    """One reservation that this host made and must end."""

    id: str
    request_hash: str = ""
    """Hash of what is asked, where it is known already."""
    sent_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent: bool = False
    ended: bool = False
    began: float = field(default_factory=time.monotonic)
    """When it was sent, on a clock that does not jump."""

    def send(self) -> None:
        self.sent, self.sent_at, self.began = True, datetime.now(UTC), time.monotonic()


class CallAccounting:
    """Makes and ends reservations. Writes that must not be lost outlive cancellation and a restarting ledger."""

    def __init__(self, ledger: CallLedger, prices: PriceBook, host: str, day: DayBudget | None = None) -> None:
        """`host` names the actor; each incarnation of it signs its reservations with a name of its own.

        `day` says which day's cap a reservation counts against, where its scopes have one.
        """
        self._day = day or DayBudget()
        self.host = host
        self.instance = f"{host}@{uuid.uuid4().hex[:12]}"
        self._ledger = ledger
        self._prices = prices
        self._open: set[str] = set()
        self._serial = itertools.count(1)
        self.booked = 0
        """Micro-dollars of the answers settled here."""

    def worst_case(self, request: ModelRequest, most_tokens: int) -> int:
        """The most a call that reads so many tokens can cost, in micro-dollars. Raises UnpricedModel."""
        seen = attachment_tokens(request.backend.partition("/")[0], request.attachments)
        return self._prices.worst_case(request.backend, most_tokens, request.max_output_tokens, seen)

    def price(self, backend: str, usage: Usage) -> int:
        """What a call with this usage costs now, in micro-dollars. Raises UnpricedModel."""
        return self._prices.cost(backend, usage)

    def context_window(self, backend: str) -> int | None:
        """Most input tokens that `backend` reads, where it is known."""
        return self._prices.context_window(backend)

    async def reserve(self, envelope: CallEnvelope, worst: int, progress: Progress) -> Attempt | Outcome:
        """An attempt that may be sent now, or the outcome the call has already.

        Waits for an open attempt of the call that another host has in flight; puts one in doubt whose host was lost.
        Raises BudgetExhausted, Fenced, Closed, JournalDiverged, DeadlineExceeded.
        """
        while True:
            asked = _now()
            operation = self._reservation(envelope, worst)
            try:
                answer = await self._reserve(operation, progress)
            except Pending as refusal:
                await self._clear(refusal, progress)
                continue
            if isinstance(answer, Outcome):
                return answer
            attempt = Attempt(answer.attempt, operation.request_hash)
            self._open.add(attempt.id)
            # `asked` is before the ledger's own time of the reservation, so this never sends after `send_by`.
            if _now() - asked < SEND_WITHIN:
                return attempt
            await self._end(attempt, Release(attempt=attempt.id, reason="reserved too late to be sent"))

    async def settle(
        self,
        envelope: CallEnvelope,
        attempt: Attempt,
        result: Reply | CallFailure,
        usage: Usage,
        progress: Progress,
        *,
        cost: int | None = None,
    ) -> Outcome:
        """Book the cost; the result becomes the call's outcome, unless it has one. Returns the outcome to use.

        `cost` is in micro-dollars; None prices the usage at the time of sending.
        """
        if cost is None:
            cost = self._cost(envelope.request.backend, usage, attempt.sent_at)
        self.booked += cost
        unmetered = self._prices.is_unmetered(envelope.request.backend)
        bills = () if unmetered else bill_event(envelope, usage, cost)
        operation = Settle(
            attempt=attempt.id,
            epoch=envelope.epoch,
            cost=cost,
            usage=usage.model_dump(),
            answer=reply_value(result) if isinstance(result, Reply) else failure_value(result),
            rows=(call_row(envelope, self._ended(envelope, attempt, result, cost, progress)), *bills),
            echo=False,
        )
        self._close(attempt)
        return await surely(lambda: self._ledger.settle(operation))

    def _cost(self, backend: str, usage: Usage, at: datetime) -> int:
        if usage.vendor_cost is not None and self._prices.tells_its_cost(backend):
            return -(-usage.vendor_cost // TICKS_PER_MICRO_DOLLAR)
        return self._prices.cost(backend, usage, at)

    async def drop(self, attempt: Attempt, failure: CallFailure) -> None:
        """End an attempt that brought nothing: released where it was certainly not billed, else in doubt."""
        if failure.maybe_billed:
            await self._end(attempt, Doubt(attempt=attempt.id, reason=failure.message))
        else:
            await self._end(attempt, Release(attempt=attempt.id, reason=failure.message))

    async def abandon(self, attempt: Attempt) -> None:
        """End an attempt that nobody waits for any more: cancelled, or broken by an error of ours."""
        if attempt.ended:
            return
        if attempt.sent:
            await self._end(attempt, Doubt(attempt=attempt.id, reason="cancelled after it was sent"))
        else:
            await self._end(attempt, Release(attempt=attempt.id, reason="cancelled before it was sent"))

    async def give_up(self, envelope: CallEnvelope, failure: CallFailure, progress: Progress) -> Outcome:
        """Make the failure the call's outcome, so that a late answer cannot change the run's path."""
        operation = GiveUp(
            run=envelope.run,
            path=envelope.path,
            index=envelope.index,
            epoch=envelope.epoch,
            failure=failure_value(failure),
            rows=(call_row(envelope, self._ended(envelope, Attempt(""), failure, 0, progress)),),
        )
        return await surely(lambda: self._ledger.give_up(operation))

    def _reservation(self, envelope: CallEnvelope, worst: int) -> Reserve:
        request = envelope.request
        return Reserve(
            run=envelope.run,
            path=envelope.path,
            index=envelope.index,
            request_hash=request.request_hash(),
            worst=worst,
            scopes=self._day.current(envelope.scopes),
            epoch=envelope.epoch,
            token=f"{self.instance}:{envelope.key}:{next(self._serial)}",
            send_within=SEND_WITHIN,
            answer_within=request.timeout + ANSWER_GRACE,
            unmetered=self._prices.is_unmetered(request.backend),
            detail={"backend": request.backend, "persona": envelope.persona, "purpose": envelope.purpose},
        )

    async def _reserve(self, operation: Reserve, progress: Progress) -> Reserved | Outcome:
        """Reserve; a caller cancelled meanwhile leaves no reservation behind."""
        try:
            return await self._patient_reserve(operation, progress)
        except asyncio.CancelledError:
            await _apart(self._unreserve(operation))
            raise

    async def _patient_reserve(self, operation: Reserve, progress: Progress) -> Reserved | Outcome:
        try:
            return await patiently(lambda: self._ledger.reserve(operation), progress.left(), (LedgerUnavailable,))
        except LedgerRefusal as refusal:
            scope = str(refusal.facts.get("scope", ""))
            if type(refusal) is not LedgerRefusal or not scope.startswith(DAY):
                raise
            await self._begin_day(scope, progress)
        return await patiently(lambda: self._ledger.reserve(operation), progress.left(), (LedgerUnavailable,))

    async def _begin_day(self, scope: str, progress: Progress) -> None:
        """Give a new day its cap; another host may have done it a moment before."""
        operation = SetCap(scope=scope, cap=self._day.cap, version=1)
        with contextlib.suppress(LedgerRefusal):
            await patiently(lambda: self._ledger.set_cap(operation), progress.left(), (LedgerUnavailable,))

    async def _unreserve(self, operation: Reserve) -> None:
        """Free what a reservation brought, or may still bring, whose answer nobody heard: asked again, it is named."""
        answer = await patiently(lambda: self._ledger.reserve(operation), LEDGER_PATIENCE)
        if isinstance(answer, Reserved):
            await self.abandon(Attempt(answer.attempt))

    async def _clear(self, refusal: Pending, progress: Progress) -> None:
        attempt, token = str(refusal.facts.get("attempt", "")), str(refusal.facts.get("token", ""))
        instance = token.partition(":")[0]
        # An actor of this name runs once: an attempt of it that is not open here belongs to a dead incarnation.
        gone = instance.partition("@")[0] == self.host
        if gone and attempt and attempt not in self._open:
            reason = f"{instance or 'its host'} was lost while the attempt was in flight"
            operation = Doubt(attempt=attempt, reason=reason)
            await surely(lambda: self._ledger.doubt(operation))
            progress.inherited += 1
        else:
            await asyncio.sleep(min(PENDING_PAUSE, progress.left()))

    async def _end(self, attempt: Attempt, operation: Release | Doubt) -> None:
        self._close(attempt)

        async def write() -> AttemptStatus:
            if isinstance(operation, Release):
                return await self._ledger.release(operation)
            return await self._ledger.doubt(operation)

        await surely(write)

    def _close(self, attempt: Attempt) -> None:
        attempt.ended = True
        self._open.discard(attempt.id)

    def _ended(
        self, envelope: CallEnvelope, attempt: Attempt, result: Reply | CallFailure, cost: int, progress: Progress
    ) -> Ended:
        seconds = time.monotonic() - attempt.began
        unmetered = self._prices.is_unmetered(envelope.request.backend)
        version = "unmetered" if unmetered else self._prices.data_version
        lost = progress.lost + progress.inherited
        asked = attempt.request_hash or envelope.request.request_hash()
        return Ended(attempt.id, asked, progress.tries, attempt.sent_at, seconds, cost, version, result, lost)


async def patiently(
    operation: Callable[[], Awaitable[T]],
    within: float,
    waits_for: tuple[type[BessemerError], ...] = (LedgerUnavailable, StateUnwritable),
) -> T:
    """Repeat an idempotent operation for `within` seconds, while the ledger does not answer or its disk is full.

    What was paid for is worth waiting until somebody has made room; what was not yet asked for is not.
    """
    deadline, pause = _now() + within, 0.05
    while True:
        try:
            return await operation()
        except waits_for:
            if _now() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)


async def surely(write: Callable[[], Awaitable[T]]) -> T:
    """Make an idempotent write that must not be lost.

    A caller cancelled meanwhile does not hear of it, so it is made again before the cancellation is raised.
    """
    try:
        return await patiently(write, LEDGER_PATIENCE)
    except asyncio.CancelledError:
        await _apart(patiently(write, LEDGER_PATIENCE))
        raise


async def _apart(work: Coroutine[Any, Any, Any]) -> None:
    """Let `work` end, whoever is cancelled meanwhile. What it fails with is lost: its caller is cancelled already."""
    task = asyncio.create_task(work)
    _APART.add(task)
    task.add_done_callback(_ended_apart)
    await asyncio.wait([task], timeout=LEDGER_PATIENCE)


def _ended_apart(task: asyncio.Task[Any]) -> None:
    _APART.discard(task)
    if not task.cancelled():
        task.exception()


def _now() -> float:
    return asyncio.get_running_loop().time()
