"""The ledger as hosts see it: typed operations, those of one event-loop turn in one message."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bessemer.cluster.errors import LedgerUnavailable, error_named
from bessemer.cluster.ledger import operations as ops
from bessemer.cluster.ledger._keeper import GroupCommit

PATIENCE_SECONDS = 60.0
Send = Callable[[bytes], Awaitable[bytes]]
A = TypeVar("A")


class LedgerClient:
    """Sends operations through `send` (JSON in, JSON out). Belongs to one event loop.

    A message that got no answer is sent again until a minute is over: operations carry their tokens, so repeating one
    changes nothing. Raises LedgerUnavailable then, and otherwise the refusal's own error.
    """

    def __init__(self, send: Send, *, patience: float = PATIENCE_SECONDS) -> None:
        self._send = send
        self._patience = patience
        self._waiting: list[tuple[ops.Operation, asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    @classmethod
    def local(cls, commit: GroupCommit) -> LedgerClient:
        """A client of a keeper in this process."""
        return _LocalClient(commit)

    async def apply(self, operation: ops.Operation) -> Any:
        """Do one operation; returns its answer or raises its refusal."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((operation, future))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._flush)
        answer = await future
        if isinstance(answer, ops.Refusal):
            raise error_named(answer.error, answer.message, dict(answer.facts))
        return answer

    async def open_run(self, operation: ops.OpenRun) -> ops.Opened:
        return await self._typed(operation, ops.Opened)

    async def renew(self, operation: ops.Renew) -> ops.Leased:
        return await self._typed(operation, ops.Leased)

    async def begin_step(self, operation: ops.BeginStep) -> ops.StepState:
        return await self._typed(operation, ops.StepState)

    async def finish_step(self, operation: ops.FinishStep) -> ops.StepState:
        return await self._typed(operation, ops.StepState)

    async def reserve(self, operation: ops.Reserve) -> ops.Reserved | ops.Outcome:
        answer: ops.Reserved | ops.Outcome = await self.apply(operation)
        return answer

    async def submit(self, operation: ops.Submit) -> ops.Submitted:
        return await self._typed(operation, ops.Submitted)

    async def settle(self, operation: ops.Settle) -> ops.Outcome:
        return await self._typed(operation, ops.Outcome)

    async def release(self, operation: ops.Release) -> ops.AttemptStatus:
        return await self._typed(operation, ops.AttemptStatus)

    async def doubt(self, operation: ops.Doubt) -> ops.AttemptStatus:
        return await self._typed(operation, ops.AttemptStatus)

    async def give_up(self, operation: ops.GiveUp) -> ops.Outcome:
        return await self._typed(operation, ops.Outcome)

    async def observe(self, operation: ops.Observe) -> ops.Observed:
        return await self._typed(operation, ops.Observed)

    async def recall(self, operation: ops.Recall) -> ops.Recalled:
        return await self._typed(operation, ops.Recalled)

    async def close_run(self, operation: ops.CloseRun) -> ops.Done:
        return await self._typed(operation, ops.Done)

    async def record(self, operation: ops.Record) -> ops.Done:
        return await self._typed(operation, ops.Done)

    async def _typed(self, operation: ops.Operation, kind: type[A]) -> A:
        answer = await self.apply(operation)
        if not isinstance(answer, kind):
            raise LedgerUnavailable(f"the ledger answered {operation.op} with {type(answer).__name__}")
        return answer

    def _flush(self) -> None:
        group, self._waiting = self._waiting, []
        task = asyncio.create_task(self._carry(group))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _carry(self, group: list[tuple[ops.Operation, asyncio.Future[Any]]]) -> None:
        try:
            answers = await self._exchange([operation for operation, _ in group])
        except Exception as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _exchange(self, operations: list[ops.Operation]) -> list[ops.Answer]:
        payload = ops.operations_json.dump_json(operations)
        deadline, pause = time.monotonic() + self._patience, 0.05
        while True:
            try:
                return ops.answers_json.validate_json(await self._send(payload))
            except (LedgerUnavailable, ConnectionError):
                if time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  (jitter, not a secret)
            pause = min(2 * pause, 2.0)


class _LocalClient(LedgerClient):
    def __init__(self, commit: GroupCommit) -> None:
        super().__init__(self._never)
        self._commit = commit

    async def _exchange(self, operations: list[ops.Operation]) -> list[ops.Answer]:
        return await self._commit.submit(operations)

    @staticmethod
    async def _never(payload: bytes) -> bytes:
        raise LedgerUnavailable("a local ledger needs no messages")
