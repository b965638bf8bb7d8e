"""Group commit: what arrives together is committed together, so durability costs one fsync per group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from bessemer.cluster.ledger._ledger import Ledger
from bessemer.cluster.ledger.operations import Answer, Operation

T = TypeVar("T")
GATHER_SECONDS = 0.002
MAX_GROUP = 2_000
MAX_WAITING = 50_000


class GroupCommit:
    """Gathers operations of many callers into transactions. One event loop, one database thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._waiting: list[tuple[list[Operation], asyncio.Future[list[Answer]]]] = []
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._pump: asyncio.Task[None] | None = None

    async def submit(self, operations: list[Operation]) -> list[Answer]:
        """Commit operations, possibly with others'; returns their answers once they are durable."""
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        async with self._room:
            self._waiting.append((operations, future))
            if self._pump is None or self._pump.done():
                self._pump = asyncio.create_task(self._run())
            return await future

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a read or an administrative write in the database's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _run(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        while self._waiting:
            group = self._take()
            operations = [operation for part, _ in group for operation in part]
            try:
                answers = await self.call(self._ledger.apply, operations)
            except Exception as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            at = 0
            for part, future in group:
                if not future.done():
                    future.set_result(answers[at : at + len(part)])
                at += len(part)

    def _take(self) -> list[tuple[list[Operation], asyncio.Future[list[Answer]]]]:
        size, upto = 0, 0
        while upto < len(self._waiting) and (size == 0 or size + len(self._waiting[upto][0]) <= MAX_GROUP):
            size += len(self._waiting[upto][0])
            upto += 1
        group, self._waiting = self._waiting[:upto], self._waiting[upto:]
        return group
