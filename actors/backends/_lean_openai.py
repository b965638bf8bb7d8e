"""The openai client without its walks over every request and every answer; see `_lean`."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from openai import APIConnectionError, APITimeoutError, AsyncOpenAI, NotGiven, Omit
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.resources.responses import AsyncResponses
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from bessemer.actors.backends._lean import Template, is_plain, post, split

_OMITTED = (Omit, NotGiven)


class LeanAsyncOpenAI(AsyncOpenAI):
    """An AsyncOpenAI whose plain (not streamed) chat completions and Responses are posted as they are."""

    timed_out, unreachable = APITimeoutError, APIConnectionError

    @cached_property
    def templates(self) -> dict[str, Template]:
        return {}

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
        if not is_plain(given):
            return await super().create(**given)
        body, options = split(given, _OMITTED)
        return await post(cast(Any, self._client), "/chat/completions", body, options, ChatCompletion)


class _Responses(AsyncResponses):
    async def create(self, **given: Any) -> Any:
        if not is_plain(given):
            return await super().create(**given)
        body, options = split(given, _OMITTED)
        return await post(cast(Any, self._client), "/responses", body, options, Response)
