"""pydantic-ai's Anthropic model, which leaves out the tier that served a request: its price depends on it."""

from __future__ import annotations

from typing import Any

from anthropic.types.beta import BetaMessage
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.anthropic import AnthropicModel


class TieredAnthropicModel(AnthropicModel):
    """An AnthropicModel whose responses name their tier."""

    def _process_response(self, response: BetaMessage, *args: Any, **options: Any) -> ModelResponse:
        made = super()._process_response(response, *args, **options)
        made.provider_details = {**(made.provider_details or {}), "service_tier": response.usage.service_tier}
        return made
