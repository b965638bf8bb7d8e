"""pydantic-ai's Anthropic model, which leaves out the tier that served a request: its price depends on it.

It also works out everything anew for every request: a tenth of a call's CPU. Requests that differ in their texts
alone are made from the first of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from anthropic.types.beta import BetaMessage
from pydantic_ai.messages import CachePoint, ModelMessage, ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel

KEPT = 256
"""Shapes of requests."""


class _Kept(NamedTuple):
    """The first request of a shape, as pydantic-ai made it ready."""

    made: Any
    headers: dict[str, str]
    """Those that no request brings itself."""
    parameters: ModelRequestParameters
    """Kept so that nothing else can have the ids of its parts."""


class TieredAnthropicModel(AnthropicModel):
    """An AnthropicModel whose responses name their tier."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: dict[tuple[Any, ...], _Kept] = {}

    def _process_response(self, response: BetaMessage, *args: Any, **options: Any) -> ModelResponse:
        made = super()._process_response(response, *args, **options)
        made.provider_details = {**(made.provider_details or {}), "service_tier": response.usage.service_tier}
        return made

    async def _prepare_messages_create(
        self,
        messages: list[ModelMessage],
        model_settings: Any,
        model_request_parameters: ModelRequestParameters,
        **options: Any,
    ) -> Any:
        more = len(messages) != 1 or any(value is not None for value in options.values())
        first = None if more else messages[0]
        if not isinstance(first, ModelRequest) or not (content := _plain_content(first)):
            return await super()._prepare_messages_create(messages, model_settings, model_request_parameters, **options)
        shape = _shape(content, first.instructions, model_settings, model_request_parameters)
        own: dict[str, str] = model_settings.get("extra_headers", {})
        if (kept := self._kept.get(shape)) is not None:
            return replace(kept.made, anthropic_messages=_said(kept.made, content), extra_headers=kept.headers | own)
        made = await super()._prepare_messages_create(messages, model_settings, model_request_parameters)
        headers = {name: value for name, value in made.extra_headers.items() if name not in own}
        if _said(made, content) == made.anthropic_messages and headers | own == made.extra_headers:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            # A deliverable of any size may be in its texts: every request brings its own.
            empty = replace(made, anthropic_messages=_said(made, [""] * len(content)))
            self._kept[shape] = _Kept(empty, headers, model_request_parameters)
        return made


def _plain_content(first: ModelRequest) -> list[Any]:
    """Texts and marks for the cache, where a request has nothing else; empty where it has."""
    if len(first.parts) != 1 or not isinstance(first.parts[0], UserPromptPart):
        return []
    content = first.parts[0].content
    items = [content] if isinstance(content, str) else list(content)
    return items if all(isinstance(one, CachePoint) or (isinstance(one, str) and one) for one in items) else []


def _shape(content: list[Any], instructions: str | None, settings: Any, parameters: ModelRequestParameters) -> Any:
    """What two requests must have in common to differ in their texts alone."""
    marks = tuple("" if isinstance(one, str) else repr(one) for one in content)
    told = tuple(part.content for part in parameters.instruction_parts or ())
    others = repr([(name, value) for name, value in settings.items() if name != "extra_headers"])
    parts = (id(parameters.function_tools), id(parameters.output_object), parameters.output_mode)
    return (marks, instructions, told, others, parts)


def _said(made: Any, content: list[Any]) -> Any:
    """The messages of a request that was made ready, with other texts."""
    texts = (one for one in content if isinstance(one, str))
    messages = []
    for message in made.anthropic_messages:
        blocks = [{**block, "text": text} for block, text in zip(message["content"], texts, strict=False)]
        messages.append({**message, "content": blocks})
    return messages
