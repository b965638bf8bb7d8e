"""The anthropic client without its walks over every request and every answer.

Requests come from pydantic-ai as plain JSON values, so the SDK's search for files and iterators in them finds nothing.
Answers are read by the message type's own validator; what it does not know, as a new kind of block, is left to the
SDK's lenient reading. Connections, time-outs and error classes are the SDK's own.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import httpx2
from anthropic import AsyncAnthropic, NotGiven, Omit
from anthropic.resources.beta import AsyncBeta
from anthropic.resources.beta.messages import AsyncMessages
from anthropic.types.beta import BetaMessage
from pydantic import ValidationError

from bessemer.actors.backends._lean import is_streamed, split

_PATH = "/v1/messages"


class LeanAsyncAnthropic(AsyncAnthropic):
    """An AsyncAnthropic whose plain (not streamed) messages are posted as they are."""

    @cached_property
    def beta(self) -> AsyncBeta:
        return _Beta(self)


class _Beta(AsyncBeta):
    @cached_property
    def messages(self) -> AsyncMessages:
        return _Messages(self._client)


class _Messages(AsyncMessages):
    async def create(self, **given: Any) -> Any:
        if is_streamed(given) or given.get("extra_body"):
            return await super().create(**given)
        body, options = split(given, (Omit, NotGiven))
        if betas := body.pop("betas", None):
            options["headers"] = {"anthropic-beta": ",".join(betas), **options.get("headers", {})}
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        made: Any = options
        return _read(await self._client.post(_PATH, cast_to=httpx2.Response, content=content, options=made))


def _read(answer: httpx2.Response) -> BetaMessage | str:
    """The message in an answer, or its text where it is no JSON object: the SDK's own way to say so."""
    try:
        return BetaMessage.model_validate_json(answer.content)
    except ValidationError:
        pass
    try:
        value = json.loads(answer.content)
    except ValueError:
        return answer.text
    return BetaMessage.construct(**value) if isinstance(value, dict) else answer.text
