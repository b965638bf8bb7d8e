"""OpenAI through the Responses API."""

from __future__ import annotations

from bessemer.actors.backends._clients import openai_client
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName


def open_openai(name: BackendName, key: str, base_url: str) -> Backend:
    """A backend for `openai/MODEL`. Answers are not stored at the vendor."""
    from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
    from pydantic_ai.providers.openai import OpenAIProvider

    client = openai_client(key, base_url)
    model = OpenAIResponsesModel(name.model, provider=OpenAIProvider(openai_client=client))
    settings = OpenAIResponsesModelSettings(openai_store=False)
    return PydanticAIBackend(str(name), model, close=client.close, settings=settings)
