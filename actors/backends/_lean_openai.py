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

from bessemer.actors.backends._lean import is_streamed, split


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
        if is_streamed(given):
            return await super().create(**given)
        body, options = _split(given)
        return await self._client.post("/chat/completions", cast_to=ChatCompletion, body=body, options=options)


class _Responses(AsyncResponses):
    async def create(self, **given: Any) -> Any:
        if is_streamed(given):
            return await super().create(**given)
        body, options = _split(given)
        return await self._client.post("/responses", cast_to=Response, body=body, options=options)


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    return split(given, (Omit, NotGiven))
