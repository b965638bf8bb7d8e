"""Ends of steps that nobody waits for, on their way to the ledger."""

from __future__ import annotations

import asyncio
import contextlib

from bessemer.cluster.ledger import FinishStep, LedgerClient

COMPANY_SECONDS = 0.25
"""How long an end waits for others: a message costs both sides more than what is in it."""


class WrittenBehind:
    """Finishes steps a moment later, those of all runs of a process together; `all_written` waits for them.

    For steps whose result follows from what is durable already: until an end is written, a crash leaves the step to be
    done again, to the same end.
    """

    def __init__(self, ledger: LedgerClient) -> None:
        self._ledger = ledger
        self._waiting: list[FinishStep] = []
        self._writing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._refused: BaseException | None = None

    def add(self, end: FinishStep) -> None:
        self._waiting.append(end)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def all_written(self) -> None:
        """Return once every end so far is durable. Raises, once, what the ledger answered the first that was not."""
        self._hurry.set()
        while self._writing is not None:
            # Whoever is cancelled while waiting leaves the ends on their way.
            await asyncio.shield(self._writing)
        self._hurry.clear()
        refused, self._refused = self._refused, None
        if refused is not None:
            raise refused

    async def _write(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while self._waiting:
                with contextlib.suppress(TimeoutError):
                    # At the same moments in every run of the process.
                    await asyncio.wait_for(self._hurry.wait(), COMPANY_SECONDS - now() % COMPANY_SECONDS)
                ends, self._waiting = self._waiting, []
                told = await asyncio.gather(*map(self._ledger.finish_step, ends), return_exceptions=True)
                failures = (one for one in told if isinstance(one, BaseException))
                self._refused = self._refused or next(failures, None)
        finally:
            self._writing = None
