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
        self._direct = Direct(keeper, "read")

    async def spending(self, run: str, path: str) -> Spending:
        """What calls of a step and below it cost so far."""
        return Spending.model_validate(await self._ask({"what": "spending", "run": run, "path": path}))

    async def left(self, run: str) -> int | None:
        """Micro-dollars left under the tightest cap of a run; None where it has none."""
        found = await self._ask({"what": "left", "run": run})
        return None if found is None else int(found)

    async def _ask(self, question: dict[str, str]) -> Any:
        """Raises ClusterError where no answer came within a minute."""
        message = encode(question)
        try:
            with self._keeper.waiting():
                async with asyncio.timeout(SECONDS):
                    return opened(await self._direct.ask(message))
        except (ConnectionError, RayError, ValueError, TimeoutError, LedgerUnavailable):
            self._keeper.forget()
            return await ask(self._keeper, "read", message, within=SECONDS)
