"""The openai client without the walk over type annotations that it makes for every request.

Requests come from pydantic-ai as plain JSON values already, so the walk changes nothing; it is a third of the SDK's CPU
per call (`docs/performance.md`). Everything else, connections and error classes included, is the SDK's own.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from openai import AsyncOpenAI, NotGiven, Omit
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.resources.responses import AsyncResponses
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

_OPTIONS = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json", "timeout": "timeout"}


class LeanAsyncOpenAI(AsyncOpenAI):
    """An AsyncOpenAI whose plain (not streamed) chat completions and Responses are posted as they are."""

    @cached_property
    def chat(self) -> AsyncChat:
        return _Chat(self)

    @cached_property
    def responses(self) -> AsyncResponses:
        return _Responses(self)


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(self, **given: Any) -> Any:
        if _is_streamed(given):
            return await super().create(**given)
        body, options = _split(given)
        return await self._client.post("/chat/completions", cast_to=ChatCompletion, body=body, options=options)


class _Responses(AsyncResponses):
    async def create(self, **given: Any) -> Any:
        if _is_streamed(given):
            return await super().create(**given)
        body, options = _split(given)
        return await self._client.post("/responses", cast_to=Response, body=body, options=options)


def _is_streamed(given: dict[str, Any]) -> bool:
    return given.get("stream") is True


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The request's body, and the SDK's per-request options."""
    present = {name: value for name, value in given.items() if not _is_left_out(value)}
    options = {_OPTIONS[name]: value for name, value in present.items() if name in _OPTIONS and value is not None}
    body = {name: value for name, value in present.items() if name not in _OPTIONS}
    return body, options


def _is_left_out(value: Any) -> bool:
    return isinstance(value, Omit | NotGiven)
