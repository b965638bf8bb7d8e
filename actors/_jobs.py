"""The pieces of work a host has in hand, so that a cancelled run's work ends and a repeated one replaces the older."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from bessemer.cluster.errors import Cancelled
from bessemer.cluster.run import Ticket

T = TypeVar("T")

QUEUE_SECONDS = 86_400.0
"""How long work may stand in a host's queue. What stands before it has deadlines, the host is watched over, and the
step that waits has a deadline too; with many runs an earlier end would only fail what was about to begin."""


class _Key(NamedTuple):
    run: str
    path: str


class Jobs:
    """Work in hand by run and step path. A step asked for again, by a newer epoch, ends the older piece first."""

    def __init__(self, slots: int) -> None:
        self._tasks: dict[_Key, asyncio.Task[Any]] = {}
        self._slots = asyncio.Semaphore(slots)

    async def do(self, ticket: Ticket, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` in a slot of its own. Raises Cancelled when `cancel` ended it."""
        key = _Key(ticket.run, ticket.path)
        await self._end([key])
        task = asyncio.create_task(self._in_slot(work))
        self._tasks[key] = task
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            raise Cancelled(f"the work on {ticket.path} of run {ticket.run} was cancelled") from None
        finally:
            if self._tasks.get(key) is task:
                del self._tasks[key]

    async def cancel(self, run: str, path: str = "") -> int:
        """End what is in hand for a run, or for one step of it; returns how many pieces that were."""
        keys = [key for key in self._tasks if key.run == run and path in ("", key.path)]
        await self._end(keys)
        return len(keys)

    def names(self) -> list[str]:
        """What is in hand, for people."""
        return [f"{key.run}:{key.path}" for key in self._tasks]

    async def _in_slot(self, work: Callable[[], Awaitable[T]]) -> T:
        async with self._slots:
            return await work()

    async def _end(self, keys: list[_Key]) -> None:
        tasks = [self._tasks.pop(key) for key in keys if key in self._tasks]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.wait_for(asyncio.shield(task), 10)
