"""The one place where a paid request happens.

A call goes: lease of the limiter -> reserve in the ledger -> send -> settle, release or doubt -> retry or give up.

| object | role | lifetime |
|---|---|---|
| `BackendService` | makes calls, each once at a time | the host |
| `_Running` | one call being made, and how many wait for it | the call |
| `CallAccounting` | the ledger's side | the host |
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import load_dotenv

from bessemer.actors._admission import why_refused
from bessemer.actors._call_accounting import LEDGER_PATIENCE, Attempt, CallAccounting, CallLedger, Progress
from bessemer.actors._call_limits import (
    expected_tokens,
    failure_of_breaker,
    limit_key,
    limits_of,
    record_events,
    states_json,
)
from bessemer.actors._call_telemetry import watch_call
from bessemer.actors._calls import BudgetRefused, CallEnvelope, CallKey, RetryPolicy
from bessemer.actors.backends import CallContext, billing, current_call, open_backend, recorded
from bessemer.actors.backends._rate_headers import rate_hint
from bessemer.actors.backends.base import Backend, BackendFailure, CallFailure, Reply
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.budget import DayBudget
from bessemer.cluster.collector import calm_collector
from bessemer.cluster.errors import BessemerError, BudgetExhausted, MissingKey
from bessemer.cluster.ledger.operations import Outcome
from bessemer.cluster.limits import CircuitOpen, Feedback, Lease, LimitsLike
from bessemer.cluster.prices import PriceBook, load_prices

if TYPE_CHECKING:
    from bessemer.actors.gateway import Meter

_FEEDBACK: dict[str, Feedback] = {
    "rate_limited": "throttled",
    "overloaded": "overloaded",
    "timeout": "failed",
    "connection": "failed",
    "infrastructure": "failed",
    "auth": "denied",
    "permission": "denied",
}


@dataclass
class _Running:
    envelope: CallEnvelope
    task: asyncio.Task[Outcome | BudgetRefused]
    waiting: int = 0


class BackendService:
    """Makes calls through the backends it hosts. Belongs to one event loop."""

    def __init__(
        self,
        ledger: CallLedger,
        prices: PriceBook | None = None,
        limits: LimitsLike | None = None,
        settings: BackendSettings | None = None,
        *,
        host: str = "backend",
        policy: RetryPolicy | None = None,
        day: DayBudget | None = None,
        keys: Path | None = None,
        own_process: bool = False,
    ) -> None:
        """What is None is made as the settings say. `host` names the actor that this service lives in.

        `keys` is a `.env` file that is read again when a key is missing. `own_process` says that this process does
        little else: then Python's garbage collector is set up for it.
        """
        self.settings = settings or BackendSettings()
        self._prices = prices or book_of(self.settings)
        self._books = CallAccounting(ledger, self._prices, host, day)
        self._limits = limits or limits_of(self.settings)
        self._policy = policy or RetryPolicy.of(self.settings.retry)
        self._backends: dict[str, asyncio.Task[Backend]] = {}
        self._running: dict[CallKey, _Running] = {}
        self._ledger = ledger
        self._telling: set[asyncio.Task[None]] = set()
        self._keys = keys
        self._own_process = own_process

    @property
    def instance(self) -> str:
        """Name of this incarnation of the host, as its reservations are signed."""
        return self._books.instance

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        """Make the call, or give back its outcome. The same call asked for twice is made once.

        Raises UsageError (unknown, unpriced or keyless backend), DeadlineExceeded, Fenced, Closed, JournalDiverged,
        LedgerUnavailable.
        """
        running = self._running.get(envelope.key)
        if running is not None and (running.envelope.epoch != envelope.epoch or running.task.cancelling()):
            # A late answer of the older epoch fills the call's empty outcome: cheaper than asking again. One that is
            # being cancelled brings none, and its attempt is ended first.
            await asyncio.wait([running.task], timeout=envelope.within)
            running = self._running.get(envelope.key)
        if running is None:
            running = self._start(envelope)
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
            if running.waiting == 0 and not running.task.done():
                running.task.cancel()
                await asyncio.wait([running.task], timeout=LEDGER_PATIENCE)

    def describe(self) -> dict[str, Any]:
        """What is hosted and in flight, as JSON."""
        return {
            "instance": self.instance,
            "models": sorted(self._backends),
            "in_flight": [str(key) for key in self._running],
            "limits": states_json(self._limits.states()),
        }

    def load(self) -> tuple[int, int, int]:
        """Calls at a provider, calls waiting for a slot, micro-dollars booked by this incarnation."""
        states = self._limits.states().values()
        return sum(one.in_flight for one in states), sum(one.waiting for one in states), self._books.booked

    async def close(self) -> None:
        """Stop every call (attempts that were sent become in doubt) and close the backends."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            if not task.cancelling():  # what is ending already must not be disturbed in ending its attempt
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LEDGER_PATIENCE)
        await self._limits.close()
        for opening in self._backends.values():
            with contextlib.suppress(BessemerError, asyncio.CancelledError):
                await (await opening).close()

    def _start(self, envelope: CallEnvelope) -> _Running:
        running = _Running(envelope, asyncio.create_task(self._make(envelope)))
        self._running[envelope.key] = running

        def forget(task: asyncio.Task[Outcome | BudgetRefused]) -> None:
            if self._running.get(envelope.key) is running:
                del self._running[envelope.key]
            self._tell_events()
            if not task.cancelled():
                task.exception()  # nobody may be left to read it

        running.task.add_done_callback(forget)
        return running

    def _tell_events(self) -> None:
        """Put what happened to the limits into the lake; it must not disturb a call."""
        if events := self._limits.take_events():
            task = asyncio.create_task(record_events(self._ledger, self.instance, events))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _make(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        now = asyncio.get_running_loop().time()
        progress = Progress(started=now, deadline=now + envelope.within)
        size = envelope.request.most_tokens
        worst = self._books.worst_case(envelope.request, size)
        window = self._books.context_window(envelope.request.backend)
        if (refused := why_refused(envelope.request, size, self.settings, window)) is not None:
            return await self._books.give_up(envelope, refused, progress)
        backend = await self._backend(envelope.request.backend)
        while True:
            try:
                result = await self._attempt(envelope, backend, worst, size, progress)
            except BudgetExhausted as refusal:
                return BudgetRefused(failure=CallFailure(kind="budget", message=refusal.message), facts=refusal.facts)
            if isinstance(result, Outcome):
                return result
            if result.kind == "budget":
                return BudgetRefused(failure=result)
            pause = self._pause(result, progress)
            if pause is None:
                return await self._books.give_up(envelope, result, progress)
            await asyncio.sleep(pause)

    async def _attempt(
        self, envelope: CallEnvelope, backend: Backend, worst: int, size: int, progress: Progress
    ) -> Outcome | CallFailure:
        """One turn at the provider, or the outcome that is there already."""
        key = limit_key(envelope.request.backend, self.settings)
        tokens = expected_tokens(size)
        try:
            lease = await self._limits.acquire(
                key, progress.left(), flow=envelope.run, weight=envelope.priority, tokens=tokens
            )
        except CircuitOpen as refused:
            progress.tries += 1
            return failure_of_breaker(refused)
        attempt: Attempt | None = None
        try:
            reserved = await self._books.reserve(envelope, worst, progress)
            if isinstance(reserved, Outcome):
                return reserved
            attempt = reserved
            result = await self._send(envelope, backend, attempt)
            # The slot is free as soon as the provider has answered; the ledger's write needs none.
            await self._free(lease, result)
            return await self._book(envelope, attempt, result, progress)
        finally:
            await self._limits.release(lease, "unsent")
            if attempt is not None:
                await self._books.abandon(attempt)

    async def _free(self, lease: Lease, result: Reply | CallFailure) -> None:
        """Give the lease back with what the limiter can learn from the answer."""
        hint = rate_hint(result.rate_headers) if result.rate_headers else None
        tokens = None if result.usage is None else float(result.usage.input + result.usage.output)
        if isinstance(result, Reply):
            await self._limits.release(lease, "ok", hint=hint, tokens=tokens)
            return
        feedback = _FEEDBACK.get(result.kind, "ok")
        await self._limits.release(
            lease, feedback, result.retry_after, hint=hint, tokens=tokens or 0.0, reason=result.message
        )

    async def _send(self, envelope: CallEnvelope, backend: Backend, attempt: Attempt) -> Reply | CallFailure:
        asked = (envelope.persona, envelope.purpose, envelope.epoch, envelope.scopes, envelope.priority)
        context = CallContext(attempt.id, *asked)
        current_call.set(context)
        attempt.send()
        result: Reply | CallFailure
        with watch_call(envelope, attempt.id) as ended:
            try:
                result = await backend.request(envelope.request)
            except BackendFailure as error:
                result = error.failure
            ended(result, lambda usage: self._books.price(envelope.request.backend, usage))
        return result

    async def _book(
        self, envelope: CallEnvelope, attempt: Attempt, result: Reply | CallFailure, progress: Progress
    ) -> Outcome | CallFailure:
        """End an attempt by what it brought. A failure whose usage is known was billed: it is the outcome."""
        progress.tries += 1
        if result.usage is not None:
            return await self._books.settle(envelope, attempt, result, result.usage, progress)
        progress.lost += result.maybe_billed
        await self._books.drop(attempt, result)
        return result

    def _pause(self, failure: CallFailure, progress: Progress) -> float | None:
        now = asyncio.get_running_loop().time()
        pause = self._policy.pause(failure, tries=progress.tries, lost=progress.lost, elapsed=now - progress.started)
        return None if pause is None or now + pause >= progress.deadline else pause

    async def _backend(self, name: str) -> Backend:
        """The open backend of that name. Opening imports an SDK, so it happens once, in a thread."""
        if name not in self._backends:
            self._backends[name] = asyncio.create_task(asyncio.to_thread(self._open, name))
        opening = self._backends[name]
        try:
            return await asyncio.shield(opening)
        except BessemerError:
            self._backends.pop(name, None)
            raise

    def _open(self, name: str) -> Backend:
        backend = self._open_with_keys(name)
        if self._own_process:
            calm_collector()
        if self.settings.record:
            return recorded(backend, Path(self.settings.record), lambda usage: self._books.price(name, usage))
        return backend

    def _open_with_keys(self, name: str) -> Backend:
        try:
            return open_backend(name, self.settings, self._meter())
        except MissingKey as missing:
            # The host may be older than the key.
            if self._keys is not None and load_dotenv(self._keys, override=False):
                with contextlib.suppress(MissingKey):
                    return open_backend(name, self.settings, self._meter())
            raise MissingKey(
                f"{missing.message}. Hosts of a running cluster have the environment it was started in: "
                "write the key into .env, or start it again (bessemer cluster down)"
            ) from None

    def _meter(self) -> Meter:
        from bessemer.actors.gateway import Meter

        return Meter(self._books, self._limits, self._prices, self.settings)


def book_of(settings: BackendSettings) -> PriceBook:
    """The price book the settings ask for."""
    free = frozenset({"openai-compatible"}) if settings.compatible.free else frozenset()
    paid = billing(settings)
    return load_prices(settings.prices, free=free, metered=paid.metered, unmetered=paid.unmetered)
