"""OpenAI through the Responses API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bessemer.actors.backends._clients import openai_client
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._pydantic_ai import Dialect, PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName, ModelRequest
from bessemer.cluster.canonical import content_hash

if TYPE_CHECKING:
    from pydantic_ai.settings import ModelSettings


def open_openai(name: BackendName, key: KeySource, base_url: str) -> Backend:
    """A backend for `openai/MODEL`. Answers are not stored at the vendor."""
    from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
    from pydantic_ai.providers.openai import OpenAIProvider

    client = openai_client(key.value, base_url)
    model = OpenAIResponsesModel(name.model, provider=OpenAIProvider(openai_client=client))
    # Without a word the project's own default tier applies, which may cost twice what was reserved.
    settings = OpenAIResponsesModelSettings(openai_store=False, service_tier="default")
    dialect = Dialect(settings=settings, settings_for=_cache_key, ignores=frozenset({"seed"}))
    return PydanticAIBackend(str(name), model, close=client.close, dialect=dialect, key=key)


def _cache_key(request: ModelRequest) -> ModelSettings:
    """Requests with one shared prefix are led to the same cache."""
    from pydantic_ai.models.openai import OpenAIResponsesModelSettings

    if not (request.shared_prefix or request.attachments):
        return {}
    shared = [request.instructions, request.shared_prefix, *(one.sha256 for one in request.attachments)]
    return OpenAIResponsesModelSettings(openai_prompt_cache_key=content_hash(shared)[:32])
