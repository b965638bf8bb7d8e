"""The ledger as its users see it: typed methods, whatever lies between them and the keeper."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import pydantic_core

from bessemer.cluster.durations import jittered
from bessemer.cluster.errors import LedgerRefusal, LedgerUnavailable, error_named
from bessemer.cluster.ledger.operations import (
    Answer,
    AsGiven,
    AttemptStatus,
    BeginStep,
    CapState,
    CloseRun,
    Done,
    Doubt,
    FinishStep,
    GiveUp,
    Leased,
    Left,
    Observe,
    Observed,
    Opened,
    OpenRun,
    Operation,
    Outcome,
    ReadLeft,
    ReadSpending,
    Recall,
    Recalled,
    Record,
    Refusal,
    Release,
    Renew,
    Reserve,
    Reserved,
    Resolve,
    SetCap,
    Settle,
    Spending,
    Spent,
    StepState,
    Submit,
    Submitted,
    Sweep,
    Swept,
    answers_json,
)
from bessemer.cluster.ledger.queue_operations import (
    Claimed,
    ClaimTasks,
    CloseQueue,
    LeaveTask,
    OpenQueue,
    QueueLeased,
    QueueOpened,
    RenewQueue,
)

if TYPE_CHECKING:
    from bessemer.cluster.ledger._keeper import GroupCommit

A = TypeVar("A")
Send = Callable[[bytes], Awaitable[bytes]]

PATIENCE_SECONDS = 60.0
"""How long a message is sent again while the ledger does not answer."""
SURELY_READABLE, ENVELOPE = 150, 6
"""A message with fewer brackets is not nested too deeply for the reader on the other side; the answer adds a few."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 2.0
MESSAGES_ON_THE_WAY = 2
"""One that is being committed and one behind it; what is asked meanwhile goes together in the next, for a message
costs both sides more than what is in it."""
LONGEST_MESSAGE = 64
"""Operations in one: with more, a burst of calls moves on as one block, and each host waits for the one before it."""
TOLD_AFTER_SECONDS = 2.0
"""A ledger that is away for less is no news: a keeper that was restarted takes about that long."""


class Watcher(Protocol):
    """Whoever is told that the ledger does not answer, and that it does again."""

    def away(self, why: str) -> None: ...

    def back(self, seconds: float) -> None: ...


class _Waiting(NamedTuple):
    """An operation on its way: as object for a keeper in this process, as JSON for another."""

    operation: Operation
    message: bytes
    answer: asyncio.Future[Answer]
    asked: float
    """Monotonic seconds."""


class LedgerClient:
    """Typed access to a ledger. What is asked in one turn of the event loop travels as one message.

    Every method returns its result once it is durable, or raises the LedgerRefusal that the ledger answered with, or
    LedgerUnavailable when it did not answer within `patience` seconds. A message is repeated as it is; its operations
    carry their tokens, so that a repeat changes nothing.
    """

    def __init__(self, send: Send, *, patience: float = PATIENCE_SECONDS, watcher: Watcher | None = None) -> None:
        """`send` takes a JSON list of operations and returns the JSON list of their answers.

        It raises LedgerUnavailable or ConnectionError where it cannot tell what became of the message, and any other
        error where it is certain that nothing was committed.
        """
        self._send = send
        self._keeper: GroupCommit | None = None
        self._patience = patience
        self._watcher = watcher
        self._away_since = 0.0
        self._told = False
        self._waiting: list[_Waiting] = []
        self._longest, self._on_the_way = LONGEST_MESSAGE, MESSAGES_ON_THE_WAY
        self._leaving = False
        """Whether `_depart` is about to be called."""
        self._flying: set[asyncio.Task[None]] = set()

    @classmethod
    def local(
        cls, keeper: GroupCommit, *, patience: float = PATIENCE_SECONDS, watcher: Watcher | None = None
    ) -> LedgerClient:
        """A client of a keeper in this process and event loop: the same, without JSON between."""
        client = cls(_nowhere, patience=patience, watcher=watcher)
        client._keeper = keeper
        client._longest = client._on_the_way = sys.maxsize  # the keeper forms groups itself
        return client

    async def open_run(self, operation: OpenRun, /) -> Opened:
        return await self._one(operation, Opened)

    async def renew(self, operation: Renew, /) -> Leased:
        return await self._one(operation, Leased)

    async def close_run(self, operation: CloseRun, /) -> Done:
        return await self._one(operation, Done)

    async def begin_step(self, operation: BeginStep, /) -> StepState:
        return await self._one(operation, StepState)

    async def finish_step(self, operation: FinishStep, /) -> StepState:
        return await self._one(operation, StepState)

    async def reserve(self, operation: Reserve, /) -> Reserved | Outcome:
        """A reservation that may be sent only in state `reserved`, or the outcome the call has already."""
        answer = await self._ask(operation)
        return answer if isinstance(answer, Outcome) else _expect(operation, answer, Reserved)

    async def submit(self, operation: Submit, /) -> Submitted:
        return await self._one(operation, Submitted)

    async def settle(self, operation: Settle, /) -> Outcome:
        """The call's outcome, which must be used instead of the answer that was brought."""
        answer = await self._ask(operation)
        if isinstance(answer, AsGiven):
            return Outcome(kind="answer", value=operation.answer, cost=operation.cost, usage=operation.usage)
        return _expect(operation, answer, Outcome)

    async def release(self, operation: Release, /) -> AttemptStatus:
        return await self._one(operation, AttemptStatus)

    async def doubt(self, operation: Doubt, /) -> AttemptStatus:
        return await self._one(operation, AttemptStatus)

    async def resolve(self, operation: Resolve, /) -> AttemptStatus:
        return await self._one(operation, AttemptStatus)

    async def sweep(self, operation: Sweep | None = None, /) -> Swept:
        return await self._one(operation or Sweep(), Swept)

    async def give_up(self, operation: GiveUp, /) -> Outcome:
        return await self._one(operation, Outcome)

    async def observe(self, operation: Observe, /) -> Observed:
        return await self._one(operation, Observed)

    async def recall(self, operation: Recall, /) -> Recalled:
        return await self._one(operation, Recalled)

    async def read_spending(self, operation: ReadSpending, /) -> Spending:
        return (await self._one(operation, Spent)).spending

    async def read_left(self, operation: ReadLeft, /) -> int | None:
        """Micro-dollars under the tightest cap; None where there is none."""
        return (await self._one(operation, Left)).left

    async def record(self, operation: Record, /) -> Done:
        return await self._one(operation, Done)

    async def set_cap(self, operation: SetCap, /) -> CapState:
        return await self._one(operation, CapState)

    async def open_queue(self, operation: OpenQueue, /) -> QueueOpened:
        return await self._one(operation, QueueOpened)

    async def renew_queue(self, operation: RenewQueue, /) -> QueueLeased:
        return await self._one(operation, QueueLeased)

    async def close_queue(self, operation: CloseQueue, /) -> Done:
        return await self._one(operation, Done)

    async def claim_tasks(self, operation: ClaimTasks, /) -> Claimed:
        return await self._one(operation, Claimed)

    async def leave_task(self, operation: LeaveTask, /) -> Done:
        return await self._one(operation, Done)

    async def _one(self, operation: Operation, kind: type[A]) -> A:
        return _expect(operation, await self._ask(operation), kind)

    async def _ask(self, operation: Operation) -> Answer:
        loop = asyncio.get_running_loop()
        # Made into JSON here, so that a value that is none fails its own caller and not the whole message.
        message = b"" if self._keeper is not None else _encoded(operation)
        waiting = _Waiting(operation, message, loop.create_future(), time.monotonic())
        self._waiting.append(waiting)
        if not self._leaving:
            self._leaving = True
            loop.call_soon(self._depart)
        answer = await waiting.answer
        if isinstance(answer, Refusal):
            raise error_named(answer.error, answer.message, dict(answer.facts))
        return answer

    def _depart(self) -> None:
        """Send what waits, as far as the way is free; the rest follows as messages arrive."""
        self._leaving = False
        while self._waiting and len(self._flying) < self._on_the_way:
            batch, self._waiting = self._waiting[: self._longest], self._waiting[self._longest :]
            task = asyncio.create_task(self._deliver(batch))
            self._flying.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        if not self._leaving:
            self._depart()

    async def _deliver(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._patiently(batch)
            if len(answers) != len(batch):
                raise LedgerUnavailable(f"the ledger gave {len(answers)} answers to {len(batch)} operations")
        except BaseException as error:
            for waiting in batch:
                if not waiting.answer.done():
                    _fail(waiting.answer, error)
            if not isinstance(error, Exception):
                raise
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    async def _patiently(self, batch: list[_Waiting]) -> list[Answer]:
        """Send the same operations until they are answered or the patience is over."""
        deadline, pause = batch[0].asked + self._patience, FIRST_PAUSE
        while True:
            left = deadline - time.monotonic()
            try:
                async with asyncio.timeout(max(left, 0.001)):
                    answers = await self._try(batch)
            except TimeoutError:
                raise LedgerUnavailable(f"the ledger did not answer within {self._patience:.0f} s") from None
            except (LedgerUnavailable, ConnectionError) as error:
                if time.monotonic() + pause >= deadline:
                    if isinstance(error, LedgerUnavailable):
                        raise
                    raise LedgerUnavailable(f"the ledger cannot be reached: {error}") from error
                self._missed(error)
            else:
                self._reached()
                return answers
            await asyncio.sleep(jittered(pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _missed(self, error: Exception) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        if self._watcher is not None and not self._told and now - self._away_since >= TOLD_AFTER_SECONDS:
            self._told = True
            self._watcher.away(str(error))

    def _reached(self) -> None:
        if self._watcher is not None and self._told:
            self._watcher.back(time.monotonic() - self._away_since)
        self._away_since, self._told = 0.0, False

    async def _try(self, batch: list[_Waiting]) -> list[Answer]:
        if self._keeper is not None:
            return await self._keeper.submit([waiting.operation for waiting in batch])
        raw = await self._send(b"[" + b",".join(waiting.message for waiting in batch) + b"]")
        return answers_json.validate_json(raw)


def _expect(operation: Operation, answer: Answer, kind: type[A]) -> A:
    if not isinstance(answer, kind):
        raise LedgerUnavailable(f"the ledger answered {operation.op} with {answer.is_!r}; is another version running?")
    return answer


def _encoded(operation: Operation) -> bytes:
    try:
        message = operation.model_dump_json().encode()
        if message.count(b"[") + message.count(b"{") > SURELY_READABLE:
            pydantic_core.from_json(b"[" * ENVELOPE + message + b"]" * ENVELOPE)
        return message
    except ValueError as error:
        why = " ".join(str(error).split())[:200]
        raise LedgerRefusal(f"{operation.op} carries a value that cannot be kept as JSON: {why}") from None


def _fail(answer: asyncio.Future[Any], error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        answer.cancel()
    elif isinstance(error, Exception):
        answer.set_exception(error)
    else:
        answer.set_exception(LedgerUnavailable(f"the ledger's client ended: {type(error).__name__}"))


async def _nowhere(_message: bytes) -> bytes:
    raise LedgerUnavailable("this client has no way to its keeper")
