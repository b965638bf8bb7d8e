"""Anthropic through the Messages API."""

from __future__ import annotations

from bessemer.actors.backends._clients import CONNECT_SECONDS, POOL_CONNECTIONS, REQUEST_SECONDS
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName


def open_anthropic(name: BackendName, key: str, base_url: str) -> Backend:
    """A backend for `anthropic/MODEL`."""
    import httpx2
    from anthropic import AsyncAnthropic, DefaultAioHttpClient
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    timeout = httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS)
    limits = httpx2.Limits(max_connections=POOL_CONNECTIONS, max_keepalive_connections=POOL_CONNECTIONS)
    client = AsyncAnthropic(
        api_key=key,
        base_url=base_url or None,
        max_retries=0,
        timeout=timeout,
        http_client=DefaultAioHttpClient(timeout=timeout, limits=limits),
    )
    model = AnthropicModel(name.model, provider=AnthropicProvider(anthropic_client=client))
    return PydanticAIBackend(str(name), model, close=client.close)
