"""Which calls go into one batch: as many as fit, as long as the oldest may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bessemer.actors._call_accounting import Progress
from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors.batch.base import Encoded
from bessemer.cluster.ledger.operations import Outcome


@dataclass(eq=False)
class Waiting:
    """One call on its way through batches."""

    envelope: CallEnvelope
    ended: asyncio.Future[Outcome | BudgetRefused]
    progress: Progress
    attempt: str = ""
    encoded: Encoded | None = None
    submitted: bool = False
    batches: int = 0
    """How many it was put into."""
    cell: str = ""
    """Calls that were refused together are submitted in halves, until the one at fault stands alone."""
    waiters: int = 0
    admission: asyncio.Task[None] | None = None


@dataclass
class _Group:
    calls: list[Waiting] = field(default_factory=list)
    size: int = 0
    timer: asyncio.TimerHandle | None = None


class Groups:
    """Groups being formed. A full one leaves at once, any other when its first call has waited long enough."""

    def __init__(self, most_calls: int, most_bytes: int, wait: float, leave: Callable[[list[Waiting]], None]) -> None:
        """`wait` is in seconds; `leave` takes a group that is complete."""
        self._most_calls = most_calls
        self._most_bytes = most_bytes
        self._wait = wait
        self._leave = leave
        self._groups: dict[tuple[str, str], _Group] = {}

    def add(self, call: Waiting) -> None:
        encoded = call.encoded
        assert encoded is not None
        key = (encoded.group, call.cell)
        group = self._groups.get(key)
        if group is not None and group.size + encoded.size > self._most_bytes:
            self._close(key)
            group = None
        if group is None:
            group = self._groups[key] = _Group()
            group.timer = asyncio.get_running_loop().call_later(self._wait, self._close, key)
        group.calls.append(call)
        group.size += encoded.size
        if len(group.calls) >= self._most_calls or group.size >= self._most_bytes:
            self._close(key)

    def remove(self, call: Waiting) -> bool:
        """Take a call back; False where its group has left."""
        for key, group in self._groups.items():
            if call in group.calls:
                group.calls.remove(call)
                group.size -= call.encoded.size if call.encoded else 0
                if not group.calls:
                    self._drop(key)
                return True
        return False

    def forming(self) -> int:
        """Calls that wait for others."""
        return sum(len(group.calls) for group in self._groups.values())

    def clear(self) -> None:
        for key in list(self._groups):
            self._drop(key)

    def _close(self, key: tuple[str, str]) -> None:
        self._leave(self._drop(key).calls)

    def _drop(self, key: tuple[str, str]) -> _Group:
        group = self._groups.pop(key)
        if group.timer is not None:
            group.timer.cancel()
        return group
