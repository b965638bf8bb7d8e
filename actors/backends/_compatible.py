"""Any server that speaks OpenAI's chat completions."""

from __future__ import annotations

from bessemer.actors.backends._clients import openai_client
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._pydantic_ai import Dialect, PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName


def open_compatible(name: BackendName, key: KeySource, base_url: str, *, json_schema: bool = True) -> Backend:
    """A backend for `openai-compatible/MODEL` at `base_url`. A server without keys is sent the word `none`."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    client = openai_client(key.value or "none", base_url)
    # `max_tokens` is the field every such server knows; `max_completion_tokens` is ignored by many, without a word.
    profile = OpenAIModelProfile(
        supports_json_schema_output=json_schema,
        supports_json_object_output=json_schema,
        openai_chat_supports_max_completion_tokens=False,
    )
    provider = OpenAICompatibleProvider(name.provider, openai_client=client)
    model = OpenAIChatModel(name.model, provider=provider, profile=profile)
    return PydanticAIBackend(str(name), model, close=client.close, dialect=Dialect(json_schema=json_schema), key=key)
