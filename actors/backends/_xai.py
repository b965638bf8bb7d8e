"""xAI over gRPC."""

from __future__ import annotations

from bessemer.actors.backends._clients import REQUEST_SECONDS
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName


def open_xai(name: BackendName, key: str, base_url: str) -> Backend:
    """A backend for `xai/MODEL`. `base_url` is `host:port`; with `http://` before it the channel is unencrypted."""
    from pydantic_ai.models.xai import XaiModel
    from pydantic_ai.providers.xai import XaiProvider
    from xai_sdk import AsyncClient

    host = base_url.removeprefix("http://").removeprefix("https://").rstrip("/")
    where = {"api_host": host} if host else {}
    client = AsyncClient(
        api_key=key,
        timeout=REQUEST_SECONDS,
        channel_options=[("grpc.enable_retries", 0)],
        use_insecure_channel=base_url.startswith("http://"),
        **where,
    )
    model = XaiModel(name.model, provider=XaiProvider(xai_client=client))
    return PydanticAIBackend(str(name), model, close=client.close)
