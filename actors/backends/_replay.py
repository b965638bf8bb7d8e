"""Answers from a recording: offline, free, and the same answers again.

`replay/NAME` prefers what NAME itself answered; where nothing of NAME is recorded for a request, any backend's answer
serves. Of several answers to one request the one at the same place of the run is taken: same step, same number, the
same attempt; else they are given in the order they were recorded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from bessemer.actors.backends._alike import Alike, alike, exact_key, renamed
from bessemer.actors.backends._context import current_call
from bessemer.actors.backends._exchanges import Exchange, Recording
from bessemer.actors.backends._nearest import nearest_difference
from bessemer.actors.backends._recording import place_of
from bessemer.actors.backends.base import BackendFailure, BackendName, CallFailure, ModelRequest, Reply
from bessemer.cluster.errors import SettingsError


class ReplayBackend:
    """A backend that answers from a recording."""

    def __init__(self, name: BackendName, directory: Path) -> None:
        self.name = str(name)
        self._recorded_name = name.model
        self._recording = Recording(directory)
        self._given: Counter[tuple[str, str]] = Counter()

    async def request(self, request: ModelRequest) -> Reply:
        try:
            asked, exact, found = await asyncio.to_thread(self._find, request)
            if not found:
                raise BackendFailure(await asyncio.to_thread(self._missing, asked))
        except SettingsError as error:
            raise BackendFailure(CallFailure(kind="bad_request", message=error.message)) from None
        exchange = self._choose(found, asked.key, exact)
        if exchange.failure is not None:
            # Nobody is there to be waited for.
            raise BackendFailure(exchange.failure.model_copy(update={"retry_after": 0.0}))
        return _reply(exchange, asked)

    async def close(self) -> None:
        return None

    def _find(self, request: ModelRequest) -> tuple[Alike, str, list[Exchange]]:
        canonical = request.canonical()
        asked = alike(canonical)
        return asked, exact_key(canonical), self._recording.find(asked.key)

    def _choose(self, found: list[Exchange], key: str, exact: str) -> Exchange:
        found = [one for one in found if one.backend == self._recorded_name] or found
        found = [one for one in found if one.hash == exact] or found
        run, path, index, attempt = place_of(current_call.get())
        here = [one for one in found if (one.path, one.index) == (path, index)]
        if here:
            in_turn = sorted(here, key=lambda one: (one.attempt, one.occurrence))
            return next((one for one in in_turn if one.attempt >= attempt), in_turn[-1])
        given = self._given[run, key]
        self._given[run, key] += 1
        return found[min(given, len(found) - 1)]

    def _missing(self, asked: Alike) -> CallFailure:
        context = current_call.get()
        near = nearest_difference(asked, context, self._recording.exchanges())
        about = f"{self.name}: the recording {self._recording.directory} has no such request"
        return CallFailure(kind="bad_request", message=f"{about} ({context.attempt}); {near}")


def _reply(exchange: Exchange, asked: Alike) -> Reply:
    assert exchange.reply is not None
    text = renamed(exchange.reply.model_dump_json(), exchange.alike(), asked)
    reply = Reply.model_validate_json(text)
    # The vendor's bill was for the recorded call; this one is free.
    return reply.model_copy(update={"usage": reply.usage.model_copy(update={"vendor_cost": None})})
