"""The collector: takes the overnight calls of every run, and brings each through batches to its end.

| object | role | lifetime |
|---|---|---|
| `BatchService` | takes calls, knows which attempt belongs to which call | the host |
| `Groups` | forms batches | the host |
| `Waiting` | one call | until it has its outcome |
| `Out` | one submitted batch, or the intent of one | until its results are in the ledger |
| `Outbound` | submits groups, and looks for submissions whose answer was lost | the host |
| `Inbound` | waits for batches and settles what they bring | the host |
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bessemer.actors._admission import why_refused
from bessemer.actors._call_accounting import Attempt, Progress
from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors.backends.base import BackendFailure, CallFailure
from bessemer.actors.batch._books import BatchBooks, BatchLedger
from bessemer.actors.batch._groups import Groups, Waiting
from bessemer.actors.batch._inbound import Inbound
from bessemer.actors.batch._out import INTENT, Out
from bessemer.actors.batch._outbound import Outbound
from bessemer.actors.batch.base import Desk, custom_id
from bessemer.cluster.backend_settings import BackendSettings, BatchSettings
from bessemer.cluster.errors import BessemerError, BudgetExhausted, Fenced, InfrastructureError
from bessemer.cluster.ledger.operations import Outcome
from bessemer.cluster.prices import PriceBook

ELSEWHERE_PAUSE = 1.0
"""Seconds between looks at a call whose attempt is being sent live."""

_log = logging.getLogger(__name__)


class Parking(NamedTuple):
    """What the collector needs of the world beside the ledger's client."""

    known: Callable[[], Awaitable[list[dict[str, Any]]]]
    """Attempts of the provider that are parked or submitted, as the keeper's `batched` tells them."""
    wake: Callable[[str], Awaitable[None]] | None = None
    """Start a run again that left memory."""
    live: Callable[[CallEnvelope], Awaitable[Outcome | BudgetRefused]] | None = None
    """Make a call at once instead."""


class BatchService:
    """Makes calls through one provider's batches. Belongs to one event loop."""

    def __init__(
        self,
        provider: str,
        desk: Desk,
        ledger: BatchLedger,
        prices: PriceBook,
        parking: Parking,
        settings: BatchSettings | None = None,
        backends: BackendSettings | None = None,
        *,
        host: str = "batch",
    ) -> None:
        """What is None is made as the settings say. `host` names the actor that this service lives in."""
        self.settings = settings or BatchSettings()
        self.backends = backends or BackendSettings()
        self.provider, self.desk, self.parking = provider, desk, parking
        self.account = self.backends.vendor(provider).account
        self.books = BatchBooks(ledger, prices, host, self.account)
        self.outs: dict[str, Out] = {}
        """What is out, by the attempts in it."""
        self.by_attempt: dict[str, Waiting] = {}
        self._calls: dict[Any, Waiting] = {}
        self._groups = Groups(
            min(self.settings.max_calls, desk.most_calls),
            min(self.settings.max_bytes, desk.most_bytes),
            self.settings.max_wait_seconds,
            lambda calls: self.spawn(self._outbound.submit(calls)),
        )
        self._outbound, self._inbound = Outbound(self), Inbound(self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loading: asyncio.Task[None] | None = None
        self._told_of_price: set[str] = set()

    @property
    def instance(self) -> str:
        """Name of this incarnation of the host, as its reservations are signed."""
        return self.books.instance

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        """Bring the call through a batch, or give back its outcome. The same call asked for twice is made once.

        Whoever stops waiting takes back a call that is not submitted; a submitted one goes on. Raises UsageError
        (unknown, unpriced or keyless backend), DeadlineExceeded, Fenced, Closed, JournalDiverged, LedgerUnavailable.
        """
        await self.load()
        try:
            return await self._call(envelope)
        except Fenced:
            # What an older epoch of the run was waiting for may have met the newer one; this asks as itself.
            return await self._call(envelope)

    async def _call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        waiting = self._calls.get(envelope.key)
        if waiting is None or waiting.ended.done() or _differs(waiting.envelope, envelope):
            waiting = self._begin(envelope)
        elif envelope.epoch > waiting.envelope.epoch:
            waiting.envelope = envelope
        waiting.waiters += 1
        try:
            return await asyncio.shield(waiting.ended)
        finally:
            waiting.waiters -= 1
            if waiting.waiters == 0 and not waiting.ended.done():
                await self._take_back(waiting)

    async def load(self) -> None:
        """Take up what an earlier incarnation left in the ledger, once. Raises what asking the ledger raises."""
        if self._loading is None or (self._loading.done() and self._loading.exception() is not None):
            self._loading = asyncio.create_task(self._load())
        await asyncio.shield(self._loading)

    async def cancel_batch(self, batch: str) -> bool:
        """Ask the vendor to cancel a batch of ours; False where none of that name is out. Raises BackendFailure."""
        await self.load()
        if not any(out.batch == batch for out in self.outs.values()):
            return False
        await self.desk.cancel(batch)
        return True

    def describe(self) -> dict[str, Any]:
        """What waits and what is out, as JSON."""
        out = {id(one): one for one in self.outs.values()}
        return {
            "instance": self.instance,
            "models": sorted({one.envelope.request.backend for one in self._calls.values()}),
            "in_flight": [str(key) for key in self._calls],
            "forming": self._groups.forming(),
            "batches": {one.name: len(one.attempts) for one in out.values()},
        }

    async def close(self) -> None:
        """Stop. What is parked or submitted stays so in the ledger, for the next incarnation."""
        self._groups.clear()
        admissions = [one.admission for one in self._calls.values() if one.admission is not None]
        tasks = [task for task in (*self._tasks, *admissions) if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10)
        with contextlib.suppress(Exception):
            await self.desk.close()

    # What the two directions need.

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside; it must not raise, so that what it raises is a fault of ours, which is logged."""

        async def watched() -> None:
            try:
                await work
            except Exception:
                _log.exception("work on the batches of %s broke", self.provider)

        task = asyncio.create_task(watched())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def again(self, waiting: Waiting, pause: float = 0.0) -> None:
        """Give a call whose attempt brought nothing another one; a run that left memory asks for it itself."""
        if waiting.attempt:
            self.by_attempt.pop(waiting.attempt, None)
        waiting.attempt, waiting.submitted = "", False
        if waiting.waiters == 0:
            self.finish(waiting, InfrastructureError("nobody waits for the call"))
            return
        waiting.admission = asyncio.create_task(self._admit(waiting, pause))

    def finish(self, waiting: Waiting, ended: Outcome | BudgetRefused | BaseException) -> None:
        """The call is at its end."""
        if waiting.attempt:
            self.by_attempt.pop(waiting.attempt, None)
        if self._calls.get(waiting.envelope.key) is waiting:
            del self._calls[waiting.envelope.key]
        if waiting.ended.done():
            return
        if isinstance(ended, BaseException):
            waiting.ended.set_exception(ended)
            waiting.ended.exception()  # nobody may be left to read it
        else:
            waiting.ended.set_result(ended)

    async def give_up(self, waiting: Waiting, failure: CallFailure) -> None:
        """The failure becomes the call's outcome."""
        await self.ending(waiting, lambda: self.books.give_up(waiting.envelope, failure, waiting.progress))

    async def ending(self, waiting: Waiting, work: Callable[[], Awaitable[Outcome | BudgetRefused]]) -> None:
        """Finish the call with what `work` returns or raises."""
        try:
            self.finish(waiting, await work())
        except BessemerError as error:
            self.finish(waiting, error)

    async def refused(self, calls: list[Waiting], failure: CallFailure) -> None:
        """A whole batch was refused at no cost."""
        await self._outbound.refused(calls, failure)

    def register(self, out: Out) -> None:
        for attempt in out.attempts.values():
            self.outs[attempt] = out

    def forget(self, attempt: str) -> None:
        """The attempt is no longer out."""
        self.outs.pop(attempt, None)

    async def tell(self, kind: str, text: str, run: str = "") -> None:
        """An event for people; one that cannot be kept is only logged."""
        try:
            await self.books.tell(kind, text, run)
        except BessemerError as error:
            _log.warning("%s: %s (not kept: %s)", kind, text, error.message)

    async def _load(self) -> None:
        found: dict[str, Out] = {}
        for row in await self.parking.known():
            if row["state"] != "submitted" or row["attempt"] in self.outs:
                continue
            out = found.setdefault(row["batch"], Out(row["batch"], _time(row["submitted_at"])))
            out.attempts[custom_id(row["attempt"])] = row["attempt"]
            await self.desk.open(str(row["detail"]["backend"]))
        for out in found.values():
            self.register(out)
            self.spawn(self._outbound.seek(out) if out.name.startswith(INTENT) else self._inbound.follow(out))

    def follow(self, out: Out) -> None:
        self.spawn(self._inbound.follow(out))

    def _begin(self, envelope: CallEnvelope) -> Waiting:
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiting = Waiting(envelope, loop.create_future(), Progress(started=now, deadline=now + envelope.within))
        self._calls[envelope.key] = waiting
        waiting.admission = asyncio.create_task(self._admit(waiting, 0.0))
        return waiting

    async def _admit(self, waiting: Waiting, pause: float) -> None:
        try:
            await asyncio.sleep(pause)
            await self._place(waiting)
        except BudgetExhausted as refusal:
            failure = CallFailure(kind="budget", message=refusal.message)
            self.finish(waiting, BudgetRefused(failure=failure, facts=refusal.facts))
        except BackendFailure as error:
            await self._drop(waiting, error.failure)
        except BessemerError as error:
            self.finish(waiting, error)
        except Exception as error:
            text = f"call {waiting.envelope.key} could not be put into a batch: {type(error).__name__}: {error}"
            self.finish(waiting, InfrastructureError(" ".join(text.split())[:400]))

    async def _place(self, waiting: Waiting) -> None:
        """Park the call and put it into a group; or wait for the batch that it is in already."""
        envelope = waiting.envelope
        request = envelope.request
        size = request.most_tokens
        worst = self.books.worst_case(request, size)
        await self.desk.open(request.backend)
        window = self.books.context_window(request.backend)
        if (refused := why_refused(request, size, self.backends, window)) is not None:
            await self.give_up(waiting, refused)
            return
        await self._tell_of_price(envelope)
        while True:
            held = await self.books.park(envelope, worst, waiting.progress)
            if isinstance(held, Outcome):
                self.finish(waiting, held)
                return
            if held.state in ("parked", "submitted"):
                break
            await asyncio.sleep(ELSEWHERE_PAUSE)
        waiting.attempt = held.attempt
        self.by_attempt[held.attempt] = waiting
        if held.state == "parked":
            waiting.encoded = await self.desk.encode(request, custom_id(held.attempt))
            self._groups.add(waiting)
            return
        waiting.submitted = True
        if held.attempt not in self.outs:
            await self._load()
        self._inbound.expect(self.outs.get(held.attempt))

    async def _drop(self, waiting: Waiting, failure: CallFailure) -> None:
        """The call cannot be written for a batch."""
        if waiting.attempt:
            await self.books.drop(Attempt(waiting.attempt), failure.model_copy(update={"maybe_billed": False}))
        await self.give_up(waiting, failure)

    async def _take_back(self, waiting: Waiting) -> None:
        """Nobody waits any more: what is not submitted is released, what is goes on for whoever asks next."""
        if waiting.submitted:
            return
        if waiting.admission is not None and not waiting.admission.done():
            waiting.admission.cancel()
            await asyncio.wait([waiting.admission])
        grouped = self._groups.remove(waiting)
        if waiting.attempt and not grouped and waiting.encoded is not None:
            return  # its group is being submitted at this moment
        if waiting.attempt and not waiting.submitted:
            await self.books.abandon(Attempt(waiting.attempt))
        self.finish(waiting, InfrastructureError("nobody waits for the call"))

    async def _tell_of_price(self, envelope: CallEnvelope) -> None:
        backend = envelope.request.backend
        if backend in self._told_of_price or self.books.has_batch_price(backend):
            return
        self._told_of_price.add(backend)
        text = f"no batch price is known for {backend}: its overnight calls are counted at the full price"
        await self.tell("batch_price_unknown", text, envelope.run)


def _differs(one: CallEnvelope, other: CallEnvelope) -> bool:
    return one.request != other.request and one.request.request_hash() != other.request.request_hash()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
