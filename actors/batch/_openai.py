"""OpenAI's files and batches, for the Responses API. A batch carries our mark as metadata."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from openai import APIError
from pydantic_ai.models.openai._batch import input_line
from pydantic_ai.models.openai._errors import map_api_errors

from bessemer.actors.backends.base import BackendFailure, CallFailure, ModelRequest, Reply
from bessemer.actors.batch._models import Models, native, read_line
from bessemer.actors.batch.base import Encoded, Ending, Found, Result, Stage
from bessemer.cluster.backend_settings import BackendSettings

if TYPE_CHECKING:
    from openai.types import Batch

MARK = "bessemer"
_ENDINGS: dict[str, Ending] = {
    "completed": "ended",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "canceled",
}
_QUOTA = ("token_limit", "rate_limit", "billing", "insufficient_quota")
"""What the codes of refusals begin with that say nothing against the requests."""
_DID_NOT_RUN: dict[str, Any] = {"batch_expired": "expired", "batch_cancelled": "canceled"}


class OpenAIDesk:
    """Batches under one key, each of one model."""

    most_calls = 50_000
    most_bytes = 200_000_000

    def __init__(self, settings: BackendSettings) -> None:
        self._models = Models("openai", settings, map_api_errors)

    async def open(self, backend: str) -> None:
        await self._models.of(backend)

    async def encode(self, request: ModelRequest, key: str) -> Encoded:
        return await self._models.encode(request, key)

    async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
        backend = await self._models.any()
        client = backend.client
        content = b"\n".join(input_line(one) for one in native(requests))
        try:
            with self._models.told(backend):
                file = await client.files.create(file=(f"{mark}.jsonl", content), purpose="batch")
        except BackendFailure as error:
            # A file that no batch reads costs nothing, whatever became of it.
            raise BackendFailure(error.failure.model_copy(update={"maybe_billed": False})) from None
        with self._models.told(backend):
            made = await client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/responses",
                completion_window="24h",
                metadata={MARK: mark},
            )
        return str(made.id)

    async def look(self, batch: str) -> Stage:
        found = await self._retrieve(batch)
        errors = (found.errors.data if found.errors else None) or []
        ending = _ENDINGS.get(found.status, "")
        if ending == "failed" and not any(str(one.code).startswith(_QUOTA) for one in errors):
            ending = "invalid"
        return Stage(ending, "; ".join(one.message for one in errors[:3] if one.message))

    async def results(self, batch: str) -> AsyncIterator[Result]:
        backend = await self._models.any()
        client = backend.client
        found = await self._retrieve(batch)
        for file in filter(None, (found.output_file_id, found.error_file_id)):
            with self._models.told(backend):
                async with client.files.with_streaming_response.content(file) as response:
                    async for line in response.iter_lines():
                        if (result := _result(line)) is not None:
                            yield result
        if found.status == "completed":
            # It would lie there for 30 days.
            with contextlib.suppress(APIError):
                await client.files.delete(found.input_file_id)

    def read(self, request: ModelRequest, result: Result) -> Reply | CallFailure:
        return self._models.read(request, result)

    async def find(self, mark: str, keys: frozenset[str], since: datetime, ours: frozenset[str]) -> Found:
        backend = await self._models.any()
        client = backend.client
        with self._models.told(backend):
            async for batch in client.batches.list(limit=100):
                if batch.created_at < since.timestamp():
                    break
                if (batch.metadata or {}).get(MARK) == mark:
                    return Found(batch.id)
        return Found()

    async def cancel(self, batch: str) -> None:
        backend = await self._models.any()
        client = backend.client
        with self._models.told(backend):
            await client.batches.cancel(batch)

    async def close(self) -> None:
        await self._models.close()

    async def _retrieve(self, batch: str) -> Batch:
        backend = await self._models.any()
        client = backend.client
        with self._models.told(backend):
            found: Batch = await client.batches.retrieve(batch)
        return found


def _result(line: str) -> Result | None:
    value = read_line(line)
    if not isinstance(value, dict):
        return value
    key, response, error = str(value.get("custom_id", "")), value.get("response"), value.get("error") or {}
    if not isinstance(response, dict):
        code = error.get("code") if isinstance(error, dict) else None
        if code in _DID_NOT_RUN:
            return Result(key, _DID_NOT_RUN[code])
        return Result(key, "errored", json.dumps({"status_code": 500, "body": {"error": error}}))
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(status, int) or not isinstance(body, dict):
        return Result(key, "unread", line[:400])
    if 200 <= status < 300:
        return Result(key, "succeeded", json.dumps(body))
    return Result(key, "errored", json.dumps({"status_code": status, "body": body}))
