"""Collecting: batches are looked at until they have ended, and every call in them gets its end in the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bessemer.actors._call_accounting import Attempt
from bessemer.actors.backends.base import BackendFailure, CallFailure, FailureKind, Reply
from bessemer.actors.batch._groups import Waiting
from bessemer.actors.batch._out import Out
from bessemer.actors.batch._outbound import PATIENT
from bessemer.actors.batch.base import Result, Stage, custom_id
from bessemer.cluster.durations import jittered
from bessemer.cluster.errors import BessemerError, LedgerUnavailable, StateUnwritable

if TYPE_CHECKING:
    from bessemer.actors.batch._service import BatchService

TOGETHER = 256
"""Results settled side by side: the ledger takes them in one transaction."""
GATHER_SECONDS = 0.3
"""After a restart calls are asked for one by one; the results of their batch are read once for all of them."""
READINGS = 100
"""Readings of results that break off, before they are left to the next host."""
COMPLETE_READINGS = 3
"""Readings after which a result that is still missing is taken for lost: a list may lag behind its batch."""
GONE_LOOKS = 3
"""Looks at a batch that its vendor does not know before it is taken for lost."""

_log = logging.getLogger(__name__)


class Inbound:
    """Batches on their way back."""

    def __init__(self, service: BatchService) -> None:
        self._service = service

    async def follow(self, out: Out) -> None:
        """See a batch to its end."""
        stage = await self._until_ended(out)
        out.has_ended = True
        await self._collect(out, stage)

    def expect(self, out: Out | None) -> None:
        """A call of `out` was asked for again; if its batch has ended, its results are read once more."""
        if out is None or not out.has_ended or out.reading:
            return
        out.reading = True
        self._service.spawn(self._collect_later(out))

    async def _collect_later(self, out: Out) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        out.reading = False
        stage = await self._until_ended(out)
        await self._collect(out, stage)

    async def _until_ended(self, out: Out) -> Stage:
        settings, unknown = self._service.settings, 0
        pause = settings.poll_seconds
        while True:
            try:
                stage = await self._service.desk.look(out.batch)
            except BackendFailure as error:
                unknown = unknown + 1 if error.failure.kind == "bad_request" else 0
                _log.warning("cannot look at batch %s: %s", out.batch, error.failure.message)
                if unknown >= GONE_LOOKS:
                    return Stage("ended", "its vendor does not know it any more")
            else:
                if stage.ending:
                    return stage
            await asyncio.sleep(jittered(pause, 0.9, 1.1))
            pause = min(pause * 1.5, PATIENT * settings.poll_seconds)

    async def _collect(self, out: Out, stage: Stage) -> None:
        """Read the results, as often as it takes, until every call that is known here has its end."""
        pause = self._service.settings.poll_seconds
        for number in range(READINGS):
            try:
                async with out.lock:
                    if await self._read(out, stage, last=number + 1 >= COMPLETE_READINGS):
                        break
            except (BackendFailure, BessemerError) as error:
                _log.warning("cannot collect batch %s: %s", out.batch, error)
                if isinstance(error, BackendFailure) and error.failure.kind == "bad_request":
                    async with out.lock:
                        await self._take_missing(out, stage, set())
                    break
            await asyncio.sleep(pause)
        await self._wake(out)

    async def _read(self, out: Out, stage: Stage, *, last: bool) -> bool:
        """Take what is in the results; False where some are missing that another reading may bring."""
        seen: set[str] = set()
        some: list[Result] = []
        if stage.ending not in ("failed", "invalid"):
            async for result in self._service.desk.results(out.batch):
                if result.key in out.attempts and result.key not in seen:
                    seen.add(result.key)
                    some.append(result)
                if len(some) >= TOGETHER:
                    await self._take_all(out, some, stage)
                    some = []
            await self._take_all(out, some, stage)
        if stage.ending == "ended" and not last and any(key not in seen for key in out.attempts):
            return False
        await self._take_missing(out, stage, seen)
        return True

    async def _take_missing(self, out: Out, stage: Stage, seen: set[str]) -> None:
        """What an ended batch does not tell of: it did not run, or nobody knows."""
        missing = [key for key in out.attempts if key not in seen]
        if stage.ending in ("failed", "invalid"):
            await self._take_refused(out, missing, stage)
            return
        status = stage.ending if stage.ending in ("expired", "canceled") else "unread"
        results = [Result(key, status, stage.message or "its batch has no result for it") for key in missing]
        await self._take_all(out, results, stage)

    async def _take_all(self, out: Out, results: list[Result], stage: Stage) -> None:
        service = self._service
        known = [(service.by_attempt.get(out.attempts[one.key]), one) for one in results]
        work = (self._take(out, call, result) for call, result in known if call is not None)
        done = await asyncio.gather(*work, return_exceptions=True)
        if broke := [one for one in done if isinstance(one, BaseException)]:
            raise broke[0]

    async def _take(self, out: Out, call: Waiting, result: Result) -> None:
        """One call's result."""
        ago = max((datetime.now(UTC) - out.since).total_seconds(), 0.0)
        began = time.monotonic() - ago
        service, attempt = self._service, Attempt(call.attempt, sent_at=out.since, sent=True, began=began)
        if result.status == "expired":
            failure = CallFailure(kind="timeout", message="the batch expired before the call ran", retryable=True)
            await self._did_not_run(out, call, attempt, failure, service.settings.when_expired)
        elif result.status == "canceled":
            failure = CallFailure(kind="cancelled", message="the batch was cancelled before the call ran")
            await self._did_not_run(out, call, attempt, failure, "give_up")
        elif result.status == "unread":
            said = f"the result of the call in batch {out.batch} could not be read: {result.body}"
            failure = CallFailure(kind="infrastructure", message=said[:400], retryable=True, maybe_billed=True)
            call.progress.lost += 1
            again = call.progress.lost <= service.backends.retry.lost_resends
            await self._did_not_run(out, call, attempt, failure, "again" if again else "give_up")
        else:
            await self._take_answer(out, call, attempt, service.desk.read(call.envelope.request, result))

    async def _take_answer(self, out: Out, call: Waiting, attempt: Attempt, answer: Reply | CallFailure) -> None:
        service = self._service
        usage = answer.usage
        if usage is None:
            assert isinstance(answer, CallFailure)
            await self._did_not_run(out, call, attempt, answer, "again" if answer.retryable else "give_up")
            return
        call.progress.tries += 1
        try:
            outcome = await service.books.collect(call.envelope, attempt, answer, usage, call.progress)
        except (LedgerUnavailable, StateUnwritable):
            raise  # the results stay at the vendor, and are read again
        except BessemerError as error:
            service.finish(call, error)
        else:
            service.finish(call, outcome)
        self._done(out, attempt.id, call)

    async def _did_not_run(self, out: Out, call: Waiting, attempt: Attempt, failure: CallFailure, then: str) -> None:
        """End an attempt that brought no answer, and do with the call what the settings say."""
        service = self._service
        call.progress.tries += 1
        await service.books.drop(attempt, failure)
        self._done(out, attempt.id, call)
        if then == "live" and service.parking.live is not None:
            live, envelope = service.parking.live, call.envelope.model_copy(update={"urgency": "now"})
            service.spawn(service.ending(call, lambda: live(envelope)))
        elif then == "again" and call.batches < service.settings.attempts:
            service.again(call)
        else:
            await service.give_up(call, failure)

    async def _take_refused(self, out: Out, keys: list[str], stage: Stage) -> None:
        """The whole batch ran nothing. Where that was for what is in it, halves are tried."""
        service = self._service
        calls = [call for key in keys if (call := service.by_attempt.get(out.attempts[key])) is not None]
        message = f"batch {out.batch} was not run: {stage.message or 'no reason given'}"
        kind: FailureKind = "bad_request" if stage.ending == "invalid" else "infrastructure"
        failure = CallFailure(kind=kind, message=message, retryable=kind == "infrastructure")
        attempts = [(call, call.attempt) for call in calls]
        await asyncio.gather(*(service.books.drop(Attempt(attempt), failure) for _, attempt in attempts))
        for call, attempt in attempts:
            self._done(out, attempt, call)
        await service.refused(calls, failure)

    def _done(self, out: Out, attempt: str, call: Waiting) -> None:
        self._service.forget(attempt)
        out.attempts.pop(custom_id(attempt), None)
        if call.waiters == 0:
            out.runs.add(call.envelope.run)

    async def _wake(self, out: Out) -> None:
        """Call back runs that may have left memory: whose calls have their end now, or are asked for by nobody."""
        service = self._service
        runs = out.runs | {attempt.partition("|")[0] for attempt in out.attempts.values()}
        out.runs = set()
        if not out.attempts:
            await service.tell("batch_ended", f"the results of batch {out.batch} of {service.provider} are in")
        if service.parking.wake is None:
            return
        for run in sorted(runs):
            try:
                await service.parking.wake(run)
            except BessemerError as error:
                _log.warning("run %s could not be started again: %s", run, error.message)
