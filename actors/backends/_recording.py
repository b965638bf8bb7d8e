"""A backend that writes down every exchange of the one behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bessemer.actors.backends._alike import alike, exact_key
from bessemer.actors.backends._context import CallContext, current_call
from bessemer.actors.backends._exchanges import Exchange, Recording
from bessemer.actors.backends.base import Backend, BackendFailure, CallFailure, ModelRequest, Reply, Usage
from bessemer.cluster.errors import StateUnwritable

Price = Callable[[Usage], int]


class RecordingBackend:
    """Passes requests on. What cannot be written down is not lost; the next request is then not sent."""

    def __init__(self, inner: Backend, directory: Path, price: Price) -> None:
        """`price` says what usage costs, in micro-dollars."""
        self.name = inner.name
        self._inner = inner
        self._recording = Recording(directory)
        self._price = price
        self._broken = ""

    async def request(self, request: ModelRequest) -> Reply:
        if self._broken:
            raise BackendFailure(CallFailure(kind="infrastructure", message=f"not sent: {self._broken}"))
        try:
            reply = await self._inner.request(request)
        except BackendFailure as error:
            await self._keep(request, failure=error.failure)
            raise
        await self._keep(request, reply=reply)
        return reply

    async def close(self) -> None:
        await self._inner.close()

    async def _keep(
        self, request: ModelRequest, reply: Reply | None = None, failure: CallFailure | None = None
    ) -> None:
        try:
            # The answer is paid for: a full disk must not keep it from the ledger.
            await asyncio.to_thread(self._write, request, reply, failure)
        except StateUnwritable as error:
            self._broken = error.message

    def _write(self, request: ModelRequest, reply: Reply | None, failure: CallFailure | None) -> None:
        result = reply or failure
        canonical, context = request.canonical(), current_call.get()
        run, path, index, attempt = place_of(context)
        exchange = Exchange(
            hash=exact_key(canonical),
            backend=request.backend,
            run=run,
            path=path,
            index=index,
            attempt=attempt,
            persona=context.persona,
            purpose=context.purpose,
            at=datetime.now(UTC).isoformat(),
            request=canonical,
            reply=reply,
            failure=failure,
            cost=self._price(result.usage) if result is not None and result.usage is not None else 0,
        )
        self._recording.add(alike(canonical).key, exchange)


def place_of(context: CallContext) -> tuple[str, str, int, int]:
    """Run, step, number of the call and number of the attempt."""
    run, _, rest = context.attempt.partition("|")
    parts = rest.rsplit("|", 2)
    if len(parts) < 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return run, "", 0, 1
    return run, parts[0], int(parts[1]), int(parts[2])
