"""Gemini's batches, by file. A batch carries our mark as its display name."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from google.genai import errors
from google.genai.types import BatchJob, HttpOptions, HttpRetryOptions, JobState
from pydantic_ai.models._google_batch import _input_line
from pydantic_ai.models.google import _map_api_errors

from bessemer.actors.backends.base import BackendFailure, CallFailure, ModelRequest, Reply
from bessemer.actors.batch._models import Models, native, read_line
from bessemer.actors.batch.base import Encoded, Ending, Found, Result, Stage
from bessemer.cluster.backend_settings import BackendSettings

UPLOAD_SECONDS = 600.0
INVALID_ARGUMENT = 3
_ENDINGS: dict[JobState, Ending] = {
    JobState.JOB_STATE_SUCCEEDED: "ended",
    JobState.JOB_STATE_PARTIALLY_SUCCEEDED: "ended",
    JobState.JOB_STATE_FAILED: "failed",
    JobState.JOB_STATE_EXPIRED: "expired",
    JobState.JOB_STATE_CANCELLED: "canceled",
}


class GoogleDesk:
    """Batches under one key, each of one model."""

    most_calls = 1_000_000
    most_bytes = 2_000_000_000

    def __init__(self, settings: BackendSettings) -> None:
        self._models = Models("google", settings, lambda model: _map_api_errors(model, "google"))

    async def open(self, backend: str) -> None:
        await self._models.of(backend)

    async def encode(self, request: ModelRequest, key: str) -> Encoded:
        return await self._models.encode(request, key)

    async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
        backend = await self._models.any()
        client = backend.client.aio
        content = b"\n".join(_input_line(one) for one in native(requests))
        try:
            with self._models.told(backend):
                file = await client.files.upload(
                    file=io.BytesIO(content), config={"mime_type": "application/jsonl", "display_name": mark}
                )
        except BackendFailure as error:
            # A file that no batch reads costs nothing, whatever became of it.
            raise BackendFailure(error.failure.model_copy(update={"maybe_billed": False})) from None
        once = HttpOptions(timeout=int(UPLOAD_SECONDS * 1000), retry_options=HttpRetryOptions(attempts=1))
        model = json.loads(native(requests)[0].group)["model"]
        with self._models.told(backend):
            made = await client.batches.create(
                model=model, src=file.name, config={"display_name": mark, "http_options": once}
            )
        return str(made.name)

    async def look(self, batch: str) -> Stage:
        job = await self._get(batch)
        ending = _ENDINGS.get(job.state or JobState.JOB_STATE_UNSPECIFIED, "")
        if ending == "failed" and job.error is not None and job.error.code == INVALID_ARGUMENT:
            ending = "invalid"
        return Stage(ending, (job.error.message or "") if job.error is not None else "")

    async def results(self, batch: str) -> AsyncIterator[Result]:
        backend = await self._models.any()
        job = await self._get(batch)
        if job.dest is None or job.dest.file_name is None:
            return
        with self._models.told(backend):
            content: bytes = await backend.client.aio.files.download(file=job.dest.file_name)
        for line in content.decode(errors="replace").splitlines():
            if (result := _result(line)) is not None:
                yield result

    def read(self, request: ModelRequest, result: Result) -> Reply | CallFailure:
        return self._models.read(request, result)

    async def find(self, mark: str, keys: frozenset[str], since: datetime, ours: frozenset[str]) -> Found:
        backend = await self._models.any()
        with self._models.told(backend):
            async for job in await backend.client.aio.batches.list(config={"page_size": 50}):
                if job.create_time is not None and job.create_time < since:
                    break
                if job.display_name == mark:
                    return Found(str(job.name))
        return Found()

    async def cancel(self, batch: str) -> None:
        backend = await self._models.any()
        with self._models.told(backend):
            await backend.client.aio.batches.cancel(name=batch)

    async def close(self) -> None:
        with contextlib.suppress(errors.APIError):
            await self._models.close()

    async def _get(self, batch: str) -> BatchJob:
        backend = await self._models.any()
        with self._models.told(backend):
            found: BatchJob = await backend.client.aio.batches.get(name=batch)
        return found


def _result(line: str) -> Result | None:
    value = read_line(line)
    if not isinstance(value, dict):
        return value
    key = str(value.get("key", ""))
    if isinstance(response := value.get("response"), dict):
        return Result(key, "succeeded", json.dumps(response))
    if isinstance(error := value.get("error"), dict):
        return Result(key, "errored", json.dumps(error))
    return Result(key, "unread", line[:400])
