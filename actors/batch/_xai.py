"""xAI's batches over gRPC: opened empty under our mark, then filled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from pydantic_ai.models.xai import _map_api_errors
from xai_sdk.chat import Response
from xai_sdk.proto import batch_pb2

from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import BackendFailure, CallFailure, FailureKind, ModelRequest, Reply
from bessemer.actors.batch._models import Models, read_reply
from bessemer.actors.batch.base import Encoded, Found, Result, Stage
from bessemer.cluster.backend_settings import BackendSettings

CHUNK_BYTES = 3_000_000
"""Bytes of requests in one message: gRPC's usual limit is 4 MiB."""
PAGE = 100
CANCELLED, DEADLINE_EXCEEDED = 1, 4
_KINDS: dict[int, tuple[FailureKind, bool]] = {
    3: ("bad_request", False),
    5: ("bad_request", False),
    7: ("permission", False),
    8: ("rate_limited", True),
    13: ("infrastructure", True),
    14: ("overloaded", True),
    16: ("auth", False),
}
"""gRPC's numbers: what they mean, and whether trying again may help."""


class XaiDesk:
    """Batches under one key. Any models may share a batch."""

    most_calls = 100_000
    most_bytes = 200_000_000

    def __init__(self, settings: BackendSettings) -> None:
        self._models = Models("xai", settings, _map_api_errors)

    async def open(self, backend: str) -> None:
        await self._models.of(backend)

    async def encode(self, request: ModelRequest, key: str) -> Encoded:
        backend = await self._models.of(request.backend)
        with self._models.told(backend):
            asked, model = backend.batch_request(request, key), cast("Any", backend.model)
            settings, parameters = model.prepare_request(asked.model_settings, asked.model_request_parameters)
            chat = await model._create_chat(asked.messages, settings or {}, parameters)
        body = batch_pb2.BatchRequest(completion_request=chat.proto, batch_request_id=key)
        return Encoded(key, "xai", body, body.ByteSize())

    async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
        backend = await self._models.any()
        with self._models.told(backend):
            made = await _batches(backend).create(mark)
        added = False
        for chunk in _chunks(requests):
            try:
                with self._models.told(backend):
                    await _batches(backend).add(made.batch_id, [one.body for one in chunk])
            except BackendFailure as error:
                # What is in the batch already is going to run, so that this is no refusal of the whole.
                maybe = error.failure.maybe_billed or added
                raise BackendFailure(error.failure.model_copy(update={"maybe_billed": maybe})) from None
            added = True
        return str(made.batch_id)

    async def look(self, batch: str) -> Stage:
        backend = await self._models.any()
        with self._models.told(backend):
            found = await _batches(backend).get(batch)
        state = found.state
        if state.num_pending or not state.num_requests:
            return Stage()
        return Stage("canceled" if found.HasField("cancel_time") else "ended")

    async def results(self, batch: str) -> AsyncIterator[Result]:
        backend = await self._models.any()
        token: str | None = None
        while True:
            with self._models.told(backend):
                page = await _batches(backend).list_batch_results(batch, limit=PAGE, pagination_token=token)
            for one in page.proto.results:
                yield _result(one)
            token = page.pagination_token
            if not token:
                return

    def read(self, request: ModelRequest, result: Result) -> Reply | CallFailure:
        if result.status == "errored":
            kind, retryable = _KINDS.get(result.body.code, ("infrastructure", True))
            message = f"{request.backend}: gRPC {result.body.code}: {result.body.message}"
            return CallFailure(kind=kind, message=message[:400], retryable=retryable)
        backend = self._models.opened(request.backend)
        model = cast("Any", backend.model)
        return read_reply(backend, request, lambda asked: model._process_response(Response(result.body, 0)))

    async def find(self, mark: str, keys: frozenset[str], since: datetime, ours: frozenset[str]) -> Found:
        backend = await self._models.any()
        token: str | None = None
        while True:
            with self._models.told(backend):
                page = await _batches(backend).list(limit=PAGE, pagination_token=token)
            for batch in page.batches:
                if batch.name == mark:
                    return Found(batch.batch_id, await self._held(batch.batch_id))
            token = page.pagination_token
            if not token or _made(page.batches[-1]) < since:
                return Found()

    async def cancel(self, batch: str) -> None:
        backend = await self._models.any()
        with self._models.told(backend):
            await _batches(backend).cancel(batch)

    async def close(self) -> None:
        await self._models.close()

    async def _held(self, batch: str) -> frozenset[str]:
        backend = await self._models.any()
        held: set[str] = set()
        token: str | None = None
        while True:
            with self._models.told(backend):
                page = await _batches(backend).list_batch_requests(batch, limit=PAGE, pagination_token=token)
            held.update(one.batch_request_id for one in page.batch_request_metadata)
            token = page.pagination_token
            if not token:
                return frozenset(held)


def _batches(backend: PydanticAIBackend) -> Any:
    return backend.client.batch


def _made(batch: Any) -> datetime:
    made: datetime = batch.create_time.ToDatetime(tzinfo=UTC)
    return made


def _chunks(requests: Sequence[Encoded]) -> list[list[Encoded]]:
    chunks: list[list[Encoded]] = [[]]
    size = 0
    for one in requests:
        if chunks[-1] and size + one.size > CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(one)
        size += one.size
    return chunks


def _result(one: Any) -> Result:
    if not one.error.code:
        return Result(one.batch_request_id, "succeeded", one.response.completion_response)
    if one.error.code == CANCELLED:
        return Result(one.batch_request_id, "canceled")
    if one.error.code == DEADLINE_EXCEEDED:
        return Result(one.batch_request_id, "expired")
    return Result(one.batch_request_id, "errored", one.error)
