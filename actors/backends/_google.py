"""Google's Gemini API."""

from __future__ import annotations

from bessemer.actors.backends._clients import REQUEST_SECONDS
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName


def open_google(name: BackendName, key: KeySource, base_url: str) -> Backend:
    """A backend for `google/MODEL`."""
    from google.genai import Client
    from google.genai.types import HttpOptions, HttpRetryOptions
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    options = HttpOptions(
        base_url=base_url or None,
        timeout=int(REQUEST_SECONDS * 1000),
        # Without options the SDK sends a dropped request once more by itself.
        retry_options=HttpRetryOptions(attempts=1),
    )
    client = Client(api_key=key.value, vertexai=False, http_options=options)
    model = GoogleModel(name.model, provider=GoogleProvider(client=client))
    return PydanticAIBackend(str(name), model, close=client.aio.aclose, key=key)
