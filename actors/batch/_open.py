"""Which providers have batches, and opening the desk of one."""

from __future__ import annotations

from bessemer.actors.batch.base import Desk
from bessemer.cluster.backend_settings import BackendSettings

PROVIDERS = frozenset({"anthropic", "openai", "google", "xai"})


def has_batches(backend: str) -> bool:
    """Whether `backend` (`provider/model`) can be reached through a batch API."""
    return backend.partition("/")[0] in PROVIDERS


def open_desk(provider: str, settings: BackendSettings) -> Desk:
    """The desk of one of the four vendors; imports only its SDK. Raises KeyError for another provider."""
    if provider == "anthropic":
        from bessemer.actors.batch._anthropic import AnthropicDesk

        return AnthropicDesk(settings)
    if provider == "openai":
        from bessemer.actors.batch._openai import OpenAIDesk

        return OpenAIDesk(settings)
    if provider == "google":
        from bessemer.actors.batch._google import GoogleDesk

        return GoogleDesk(settings)
    if provider == "xai":
        from bessemer.actors.batch._xai import XaiDesk

        return XaiDesk(settings)
    raise KeyError(provider)
