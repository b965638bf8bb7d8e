"""Submitting: the intent is durable first, and a submission whose answer was lost is looked for, never repeated."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bessemer.actors._call_accounting import Attempt
from bessemer.actors.backends.base import BackendFailure, CallFailure
from bessemer.actors.batch._groups import Waiting
from bessemer.actors.batch._out import INTENT, Out
from bessemer.cluster.errors import BessemerError

if TYPE_CHECKING:
    from bessemer.actors.batch._service import BatchService

CLOCKS = timedelta(minutes=10)
"""How far the vendor's clock and the ledger's may be apart."""
PATIENT = 10
"""The pause between looks grows up to so many times the first one."""
_POISON = frozenset({"bad_request", "context_length", "content_filter"})

_log = logging.getLogger(__name__)


class Outbound:
    """Groups on their way to the vendor."""

    def __init__(self, service: BatchService) -> None:
        self._service = service

    async def submit(self, calls: list[Waiting]) -> None:
        """Submit one group. Every call of it ends, goes back into a group, or is out afterwards."""
        service = self._service
        out = Out(f"{INTENT}{service.provider}/{service.account}/{uuid.uuid4().hex}")
        for call in calls:
            call.submitted = True  # from here on nobody can take it back
        try:
            taken = await service.books.intend((call.attempt for call in calls), out.name)
        except BessemerError as error:
            for call in calls:
                service.finish(call, error)
            return
        for call in calls:
            if call.attempt not in taken:
                service.again(call)  # it was released meanwhile; the ledger says what may be done
        calls = [call for call in calls if call.attempt in taken]
        for call in calls:
            assert call.encoded is not None
            out.attempts[call.encoded.key] = call.attempt
            call.batches += 1
        if not calls:
            return
        service.register(out)
        try:
            batch = await service.desk.create(out.mark, [call.encoded for call in calls if call.encoded])
        except BackendFailure as error:
            await self._went_wrong(out, calls, error.failure)
        else:
            await self._named(out, batch, "batch_submitted")

    async def seek(self, out: Out) -> None:
        """Find what became of a submission whose answer was lost: adopt its batch, or be sure that there is none."""
        service = self._service
        pause = service.settings.poll_seconds
        until = out.since + timedelta(seconds=service.settings.lost_seconds)
        while True:
            over = datetime.now(UTC) > until
            ours = frozenset(one.batch for one in service.outs.values())
            try:
                found = await service.desk.find(out.mark, frozenset(out.attempts), out.since - CLOCKS, ours)
            except BackendFailure as error:
                _log.warning("cannot list the batches of %s: %s", service.provider, error.failure.message)
            else:
                missing = _missing(out, found.held)
                if found.batch and (over or not missing):
                    await self._send_again(out, missing)
                    await self._named(out, found.batch, "batch_adopted")
                    return
                if over and not found.batch and not found.maybe:
                    await self._send_again(out, list(out.attempts))
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, PATIENT * service.settings.poll_seconds)

    async def _named(self, out: Out, batch: str, event: str) -> None:
        service = self._service
        while True:
            try:
                await service.books.named(out.attempts.values(), out.name, batch)
                break
            except BessemerError as error:
                _log.warning("batch %s is out and cannot be written down yet: %s", batch, error.message)
        out.name = batch
        service.follow(out)
        verb = "holds" if event == "batch_submitted" else "was found again and holds"
        await service.tell(event, f"batch {batch} of {service.provider} {verb} {len(out.attempts)} calls")

    async def _went_wrong(self, out: Out, calls: list[Waiting], failure: CallFailure) -> None:
        service = self._service
        if failure.maybe_billed:
            await service.tell("batch_in_doubt", f"a batch of {len(calls)} calls may be out: {failure.message}")
            await self.seek(out)
            return
        for call in calls:
            service.forget(call.attempt)
        await asyncio.gather(*(service.books.drop(Attempt(call.attempt), failure) for call in calls))
        await self.refused(calls, failure)

    async def refused(self, calls: list[Waiting], failure: CallFailure) -> None:
        """A whole batch was refused at no cost: try halves, or the same later, or give up."""
        service = self._service
        if failure.kind in _POISON and len(calls) > 1:
            _split(service, calls)
            return
        for call in calls:
            call.batches -= 1  # nothing was run
            call.progress.tries += 1
            if failure.retryable and call.progress.tries < service.backends.retry.attempts:
                # Vendors refuse batches while too much of an account is queued, which takes its time.
                pause = service.settings.poll_seconds * min(2 ** (call.progress.tries - 1), PATIENT)
                service.again(call, max(pause, failure.retry_after or 0.0))
            else:
                await service.give_up(call, failure)

    async def _send_again(self, out: Out, keys: list[str]) -> None:
        """Calls that certainly reached no batch: what is known here goes into another one, the rest is released."""
        service = self._service
        if not keys:
            return
        failure = CallFailure(kind="connection", message="the submission never reached the vendor", retryable=True)
        attempts = [out.attempts.pop(key) for key in keys]
        for attempt in attempts:
            service.forget(attempt)
        await asyncio.gather(*(service.books.drop(Attempt(attempt), failure) for attempt in attempts))
        for attempt in attempts:
            if (call := service.by_attempt.get(attempt)) is not None:
                call.batches = max(0, call.batches - 1)
                service.again(call)
        await service.tell("batch_lost", f"a submission of {len(attempts)} calls never reached {service.provider}")


def _split(service: BatchService, calls: list[Waiting]) -> None:
    """Submit two halves apart: a vendor that refuses a whole batch does not always say for which request."""
    half = len(calls) // 2
    for number, call in enumerate(calls):
        call.cell += "0" if number < half else "1"
        call.batches -= 1
        service.again(call)


def _missing(out: Out, held: frozenset[str] | None) -> list[str]:
    return [] if held is None else [key for key in out.attempts if key not in held]
