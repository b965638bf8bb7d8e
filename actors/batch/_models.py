"""What the desks share: pydantic-ai's models, which know how a request is written and an answer read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.batch import BatchRequest, BatchResult, EncodedBatchRequest

from bessemer.actors.backends import open_backend
from bessemer.actors.backends._late import LateBackend
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendFailure, CallFailure, ModelRequest, Reply, Usage
from bessemer.actors.batch.base import Encoded, Result
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import BessemerError, UnknownBackend

_KEY = re.compile(r'"(?:custom_id|key)"\s*:\s*"([0-9a-f]{32})"')


class Models:
    """The models of one provider, opened when first needed."""

    def __init__(self, provider: str, settings: BackendSettings, map_errors: Callable[..., Any]) -> None:
        """`map_errors` is pydantic-ai's translation of the SDK's errors: a context manager of a model's name."""
        self._provider = provider
        self._settings = settings
        self._map_errors = map_errors
        self._opened: dict[str, Backend] = {}
        self._opening = asyncio.Lock()

    async def of(self, name: str) -> PydanticAIBackend:
        """The open backend of `provider/model`. Raises UnknownBackend, MissingKey, SettingsError."""
        async with self._opening:
            if name not in self._opened:
                self._opened[name] = await asyncio.to_thread(open_backend, name, self._settings)
        return self.opened(name)

    def opened(self, name: str) -> PydanticAIBackend:
        """One that is open already."""
        found = self._opened[name]
        return found.inner() if isinstance(found, LateBackend) else cast("PydanticAIBackend", found)

    async def any(self) -> PydanticAIBackend:
        """One that is open, for what concerns the account and no model. Raises UnknownBackend where none is."""
        for name in self._opened:
            return await self.of(name)
        raise UnknownBackend(f"no model of {self._provider} was named yet")

    @contextlib.contextmanager
    def told(self, backend: PydanticAIBackend) -> Iterator[None]:
        """Turn what the SDK raises into BackendFailure."""
        try:
            with self._map_errors(backend.model.model_name):
                yield
        except (BackendFailure, BessemerError):
            raise
        except Exception as error:
            raise BackendFailure(backend.failure(error)) from None

    async def encode(self, request: ModelRequest, key: str) -> Encoded:
        backend = await self.of(request.backend)
        with self.told(backend):
            made = await backend.model.batch_encode(backend.batch_request(request, key))
        return Encoded(key, made.group, made, backend.model.batch_request_size(made))

    def read(self, request: ModelRequest, result: Result) -> Reply | CallFailure:
        """What a result brought, through the model's own reading of it."""
        backend = self.opened(request.backend)
        told = BatchResult(custom_id=result.key, status=cast("Any", result.status), body=result.body)
        return read_reply(backend, request, lambda asked: backend.model.batch_decode(told, asked))

    async def close(self) -> None:
        for opened in self._opened.values():
            await opened.close()


def read_reply(
    backend: PydanticAIBackend, request: ModelRequest, decode: Callable[[BatchRequest], ModelResponse]
) -> Reply | CallFailure:
    """The Reply of a batched answer, or why there is none. Usage is marked as a batch's, which sets its price."""
    try:
        response = decode(backend.batch_request(request, ""))
    except ModelAPIError as error:
        # No vendor bills a request of a batch that ended in an error.
        return backend.failure(error).model_copy(update={"maybe_billed": False})
    except Exception as error:
        return backend.failure(error)
    try:
        reply = backend.reply_of(request, response)
    except BackendFailure as error:
        return error.failure.model_copy(update={"usage": _of_batch(error.failure.usage)})
    return reply.model_copy(update={"usage": _of_batch(reply.usage)})


def _of_batch(usage: Usage | None) -> Usage | None:
    return None if usage is None else usage.model_copy(update={"tier": "batch"})


def native(requests: Any) -> list[EncodedBatchRequest]:
    """pydantic-ai's own encoded requests, in order."""
    return [cast("EncodedBatchRequest", one.body) for one in requests]


def read_line(line: str) -> dict[str, Any] | Result | None:
    """One line of a results file: an object; what could not be read, with its key; None where it has not even that."""
    if not line.strip():
        return None
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    found = _KEY.search(line)
    return Result(found[1], "unread", line[:400]) if found else None
