"""The anthropic client without its walks over every request and every answer; see `_lean`."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from anthropic import APIConnectionError, APITimeoutError, AsyncAnthropic, NotGiven, Omit
from anthropic.resources.beta import AsyncBeta
from anthropic.resources.beta.messages import AsyncMessages
from anthropic.types.beta import BetaMessage

from bessemer.actors.backends._lean import Template, is_plain, post, split


class LeanAsyncAnthropic(AsyncAnthropic):
    """An AsyncAnthropic whose plain (not streamed) messages are posted as they are."""

    timed_out, unreachable = APITimeoutError, APIConnectionError

    @cached_property
    def templates(self) -> dict[str, Template]:
        return {}

    @cached_property
    def beta(self) -> AsyncBeta:
        return _Beta(self)


class _Beta(AsyncBeta):
    @cached_property
    def messages(self) -> AsyncMessages:
        return _Messages(self._client)


class _Messages(AsyncMessages):
    async def create(self, **given: Any) -> Any:
        if not is_plain(given):
            return await super().create(**given)
        body, options = split(given, (Omit, NotGiven))
        if betas := body.pop("betas", None):
            options["headers"] = {"anthropic-beta": ",".join(betas), **options.get("headers", {})}
        return await post(cast(Any, self._client), "/v1/messages", body, options, BetaMessage)
