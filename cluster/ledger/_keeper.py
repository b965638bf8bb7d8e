"""Group commit: what many callers ask for at the same time becomes one durable transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, ParamSpec, TypeVar

from bessemer.cluster.collector import calm_collector
from bessemer.cluster.errors import BessemerError, LedgerUnavailable
from bessemer.cluster.ledger._ledger import Ledger
from bessemer.cluster.ledger.operations import Answer, Operation, ReadSpending

P = ParamSpec("P")
T = TypeVar("T")
Result = list[Answer] | Exception


class _Member(NamedTuple):
    """What one caller asked for, and where its answers go."""

    operations: list[Operation]
    answers: asyncio.Future[list[Answer]]


class GroupCommit:
    """Applies operations for many callers of one event loop, in groups, on one thread of its own.

    While a group is being committed the next one gathers. A group that would be small waits `window` seconds for
    company; one with a lone caller waits only for the event loop's turn to end.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        window: float = 0.002,
        max_group: int = 1000,
        max_waiting: int = 20_000,
        own_process: bool = False,
        at_once: int = 0,
    ) -> None:
        """`max_group` operations make one transaction; callers wait while `max_waiting` operations are queued.

        `own_process` says that this process does little else: then Python's garbage collector is set up for it.
        Groups of at most `at_once` operations that sum nothing up are committed on the event loop, which stands still
        meanwhile: waking a thread costs as much as they do.
        """
        if own_process:
            calm_collector()
        self._ledger = ledger
        self._window = window
        self._max_group = max_group
        self._max_waiting = max_waiting
        self._at_once = at_once
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._members: list[_Member] = []
        self._queued = 0
        self._room: asyncio.Event | None = None
        self._drain: asyncio.Task[None] | None = None
        self._callers = 0
        self._closed = False
        self.counts = {"transactions": 0, "operations": 0, "reads": 0}
        """What was done since the start: groups committed, operations in them, and reads between them."""

    async def submit(self, ops: Sequence[Operation]) -> list[Answer]:
        """Answers to `ops`, in order, once they are durable.

        Raises LedgerUnavailable, StateUnwritable or LedgerCorrupted; then none of them was done, and the same
        operations may be submitted again. A caller that is cancelled must assume that they were done.
        """
        if not ops:
            return []
        await self._wait_for_room()
        if self._closed:
            raise LedgerUnavailable("the ledger's keeper was closed; open it again")
        answers: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._members.append(_Member(list(ops), answers))
        self._queued += len(ops)
        if self._drain is None:
            self._drain = asyncio.create_task(self._commit_all())
        return await answers

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking method of the ledger on the keeper's thread, between two groups."""
        if self._closed:
            raise LedgerUnavailable("the ledger's keeper was closed; open it again")
        self.counts["reads"] += 1
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    async def close(self) -> None:
        """Commit what is queued, then end the thread. The ledger stays open."""
        self._closed = True
        if self._drain is not None:
            await self._drain
        self._thread.shutdown()

    async def _wait_for_room(self) -> None:
        while self._queued >= self._max_waiting:
            if self._room is None or self._room.is_set():
                self._room = asyncio.Event()
            await self._room.wait()

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._members:
                await self._gather()
                group = self._take()
                if self._is_quick(group):
                    results = self._apply(group)
                else:
                    results = await loop.run_in_executor(self._thread, self._apply, group)
                for member, result in zip(group, results, strict=True):
                    if member.answers.done():
                        continue
                    if isinstance(result, Exception):
                        member.answers.set_exception(result)
                    else:
                        member.answers.set_result(result)
        finally:
            self._drain = None
            for member in self._members:
                member.answers.cancel()

    async def _gather(self) -> None:
        """Let the event loop's turn end; where several callers came lately, give them the window to come back."""
        await asyncio.sleep(0)
        if self._callers > 1 and len(self._members) < self._callers:
            await asyncio.sleep(self._window)

    def _take(self) -> list[_Member]:
        """The oldest members that make a group; one that is larger than a group goes alone."""
        size = count = 0
        for member in self._members:
            if count and size + len(member.operations) > self._max_group:
                break
            size, count = size + len(member.operations), count + 1
        group, self._members = self._members[:count], self._members[count:]
        # Callers seen lately, so that the window is only waited for where company is likely.
        self._callers = max(count, self._callers * 3 // 4)
        self._queued -= size
        self.counts["transactions"] += 1
        self.counts["operations"] += size
        if self._room is not None:
            self._room.set()
        return group

    def _is_quick(self, group: list[_Member]) -> bool:
        """Whether the event loop may stand still for it. A sum is over as many calls as a run ever made."""
        operations = [operation for member in group for operation in member.operations]
        return len(operations) <= self._at_once and not any(isinstance(one, ReadSpending) for one in operations)

    def _apply(self, group: list[_Member]) -> list[Result]:
        try:
            answers = self._ledger.apply([operation for member in group for operation in member.operations])
        except BessemerError as error:
            return [error for _ in group]
        except Exception as error:
            # Not the database's trouble but one member's: the others must not suffer for it.
            return [error] if len(group) == 1 else [self._apply([member])[0] for member in group]
        results: list[Result] = []
        start = 0
        for member in group:
            results.append(answers[start : start + len(member.operations)])
            start += len(member.operations)
        return results
