"""What a run asks the ledger without changing anything: what it spent, and what is left to spend."""

from __future__ import annotations

import asyncio
from typing import Any

from ray.exceptions import RayError

from bessemer.actors._line import Direct
from bessemer.actors._wire import HostRef, ask, encode, opened
from bessemer.cluster.errors import LedgerUnavailable
from bessemer.cluster.ledger.operations import Spending

SECONDS = 60.0


class LedgerReads:
    """Questions to the keeper, over a line of their own; patiently through Ray where the line does not answer."""

    def __init__(self, keeper: HostRef) -> None:
        self._keeper = keeper
        self._direct = Direct(keeper, "answer")

    async def spending(self, run: str, path: str) -> Spending:
        """What calls of a step and below it cost so far."""
        return Spending.model_validate(await self._ask("spending", run=run, path=path))

    async def left(self, run: str) -> int | None:
        """Micro-dollars left under the tightest cap of a run; None where it has none."""
        found = await self._ask("left", run=run)
        return None if found is None else int(found)

    async def _ask(self, method: str, **about: str) -> Any:
        """Raises what `ask` raises, at most a minute later than it."""
        message = encode({"ask": method, **about})
        try:
            with self._keeper.waiting():
                async with asyncio.timeout(SECONDS):
                    raw = await self._direct.ask(message)
            return opened(raw)
        except (ConnectionError, RayError, ValueError, TimeoutError, LedgerUnavailable, AttributeError):
            # The last is a keeper of another version of the code, which is shared and has the method, but no `answer`.
            self._keeper.forget()
            return await ask(self._keeper, method, message, within=SECONDS)
