"""Whether a host that is waited for still lives: Ray notices a process that ended, not one that hangs.

| object | role | lifetime |
|---|---|---|
| `Living` | answers a pulse, on the event loop that does a host's work | the host |
| `Pulse` | asks one host now and then whether it is there | as its HostRef; it works only while somebody waits |

A host that answered before and then leaves every question unanswered for `silence` seconds is ended. Ray starts it
again, whoever waits asks again, and the ledger decides what is done again. Only questions count whose answer would
have been heard: an asker that itself stood still meanwhile, as on a machine that slept, knows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Protocol

import ray
from ray.exceptions import RayError

SILENT_SECONDS = 180.0
"""A machine with far too much to do is slow to answer; only what hangs says nothing for so long."""
BEATS = 6
"""Questions in that time."""

_log = logging.getLogger(__name__)


class SilentHost(ConnectionError):
    """A host said nothing for longer than it should: it hangs, or cannot be reached. It was not lost."""


class Living:
    """A host that can be asked whether it still works.

    Ray's own question (`__ray_ready__`) is answered beside the event loop, also while that stands still: Ray lets it
    wait for callers who are dead until it knows that they are.
    """

    async def alive(self) -> bool:
        """Whether the event loop turns."""
        return True


class Watched(Protocol):
    """A host as its pulse sees it."""

    name: str

    async def handle(self) -> Any: ...

    def forget(self) -> None: ...


class Pulse:
    """Asks one host whether it is there, for as long as anybody waits for it."""

    def __init__(self, host: Watched, silence: float) -> None:
        self._host = host
        self._silence = silence
        self._waiting = 0
        self._later: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._came_up = False
        """Whether it answered since it last started: one that is starting is not silent."""
        self._unanswered = 0
        """Questions in a row."""

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Somebody waits for the host while the block runs; a block that ends well has been answered.

        One that ends otherwise leaves the question open whether the host is there, so that it is asked all the same.
        """
        self._waiting += 1
        if self._later is None and self._asking is None:
            # Most answers come long before the first beat, and cost no task.
            self._later = asyncio.get_running_loop().call_later(self._silence / BEATS, self._begin)
        try:
            yield
            self._heard()
            if self._waiting == 1:
                self._rest()
        except SilentHost:
            raise
        except (RayError, ConnectionError):
            # Lost over Ray or over its line: what answers next has to start first.
            self._came_up = False
            raise
        finally:
            self._waiting -= 1

    def _heard(self) -> None:
        self._came_up, self._unanswered = True, 0

    def _begin(self) -> None:
        self._later = None
        self._asking = asyncio.create_task(self._ask())

    def _rest(self) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._asking is not None:
            self._asking.cancel()
        self._later = self._asking = None

    async def _ask(self) -> None:
        beat = self._silence / BEATS
        self._unanswered = 0
        while True:
            asked = time.monotonic()
            try:
                handle = await self._host.handle()
                await asyncio.wait_for(handle.alive.remote(), beat)
                self._heard()
                if not self._waiting:
                    break
                await asyncio.sleep(beat)
            except TimeoutError:
                self._unanswered += time.monotonic() - asked < 2 * beat
                # One beat goes by before the first question, and one after an answer.
                if self._came_up and self._unanswered >= BEATS - 2:
                    await self._end(handle)
                if not self._came_up and not self._waiting:
                    break
            except (RayError, ConnectionError, ValueError):
                # It died, which Ray sees to.
                self._came_up = False
                if not self._waiting:
                    break
                await asyncio.sleep(beat)
        self._asking = None

    async def _end(self, handle: Any) -> None:
        _log.warning("%s says nothing for %.0f s; it is started anew", self._host.name, self._silence)
        self._came_up = False
        with contextlib.suppress(RayError, ValueError, TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(ray.kill, handle, no_restart=False), self._silence)
        self._host.forget()
