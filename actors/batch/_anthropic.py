"""Anthropic's message batches. They carry no name of ours: a lost one is known by what is in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_ai.models.anthropic._errors import map_api_errors

from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.batch._models import Models, native, read_line
from bessemer.actors.batch.base import Encoded, Found, Result, Stage
from bessemer.cluster.backend_settings import BackendSettings

if TYPE_CHECKING:
    from anthropic.types.beta.messages import BetaMessageBatch

_STATUS = ("succeeded", "errored", "expired", "canceled")


class AnthropicDesk:
    """Message batches under one key. Any models may share a batch."""

    most_calls = 100_000
    most_bytes = 250_000_000

    def __init__(self, settings: BackendSettings) -> None:
        self._models = Models("anthropic", settings, map_api_errors)

    async def open(self, backend: str) -> None:
        await self._models.of(backend)

    async def encode(self, request: ModelRequest, key: str) -> Encoded:
        return await self._models.encode(request, key)

    async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
        backend = await self._models.any()
        with self._models.told(backend):
            made = await backend.model.batch_create(native(requests))
        return made.id

    async def look(self, batch: str) -> Stage:
        backend = await self._models.any()
        with self._models.told(backend):
            found = await _batches(backend).retrieve(batch)
        return Stage("ended" if found.processing_status == "ended" else "")

    async def results(self, batch: str) -> AsyncIterator[Result]:
        backend = await self._models.any()
        with self._models.told(backend):
            async with _batches(backend).with_streaming_response.results(batch) as response:
                async for line in response.iter_lines():
                    if (result := _result(line)) is not None:
                        yield result

    def read(self, request: ModelRequest, result: Result) -> Reply | CallFailure:
        return self._models.read(request, result)

    async def find(self, mark: str, keys: frozenset[str], since: datetime, ours: frozenset[str]) -> Found:
        backend = await self._models.any()
        maybe = False
        with self._models.told(backend):
            async for batch in _batches(backend).list(limit=100):
                if batch.created_at < since:
                    break
                # A batch holds what was submitted, no more and no less, so that another number is another batch.
                if batch.id in ours or _size(batch) != len(keys):
                    continue
                if batch.processing_status != "ended":
                    maybe = True
                elif await self._holds(batch.id, keys):
                    return Found(batch.id)
        return Found(maybe=maybe)

    async def cancel(self, batch: str) -> None:
        backend = await self._models.any()
        with self._models.told(backend):
            await _batches(backend).cancel(batch)

    async def close(self) -> None:
        await self._models.close()

    async def _holds(self, batch: str, keys: frozenset[str]) -> bool:
        async for result in self.results(batch):
            return result.key in keys
        return False


def _batches(backend: PydanticAIBackend) -> Any:
    return backend.client.beta.messages.batches


def _size(batch: BetaMessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def _result(line: str) -> Result | None:
    value = read_line(line)
    if not isinstance(value, dict):
        return value
    key, result = str(value.get("custom_id", "")), value.get("result")
    status = result.get("type") if isinstance(result, dict) else None
    return Result(key, status, json.dumps(result)) if status in _STATUS else Result(key, "unread", line[:400])
