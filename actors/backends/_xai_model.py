"""pydantic-ai's xAI model, which leaves out what the vendor says a request cost, and its tier."""

from __future__ import annotations

from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.xai import XaiModel
from xai_sdk.chat import Response

from bessemer.actors.backends._pydantic_ai import VENDOR_COST


class BilledXaiModel(XaiModel):
    """An XaiModel whose responses carry the vendor's bill."""

    def _process_response(self, response: Response) -> ModelResponse:
        made = super()._process_response(response)
        usage = response.proto.usage
        # The SDK's own `cost_usd` is a float; the ticks on the wire are exact.
        billed = {VENDOR_COST: usage.cost_in_usd_ticks} if usage.HasField("cost_in_usd_ticks") else {}
        made.provider_details = {**(made.provider_details or {}), "service_tier": response.service_tier, **billed}
        return made
