"""Anthropic through the Messages API."""

from __future__ import annotations

from bessemer.actors.backends._clients import http_options
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._pydantic_ai import Dialect, PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName

_DIALECT = Dialect(
    # The price of other tiers depends on a contract, so no cap could be computed for them.
    settings={"service_tier": "default"},
    ignores=frozenset({"temperature", "seed"}),
    cache_points=True,
)


def open_anthropic(name: BackendName, key: KeySource, base_url: str) -> Backend:
    """A backend for `anthropic/MODEL`. A shared prefix is cached for five minutes."""
    from anthropic import DefaultAioHttpClient
    from pydantic_ai.providers.anthropic import AnthropicProvider

    from bessemer.actors.backends._anthropic_model import TieredAnthropicModel
    from bessemer.actors.backends._lean_anthropic import LeanAsyncAnthropic

    options = http_options()
    client = LeanAsyncAnthropic(
        api_key=key.value,
        base_url=base_url or None,
        max_retries=0,
        timeout=options["timeout"],
        http_client=DefaultAioHttpClient(**options),
        # Our own spans tell of each call; a second one would count its tokens twice.
        open_telemetry=False,
    )
    model = TieredAnthropicModel(name.model, provider=AnthropicProvider(anthropic_client=client))
    return PydanticAIBackend(str(name), model, close=client.close, dialect=_DIALECT, key=key)
