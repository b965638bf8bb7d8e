"""The models the simulator says it has. Any other name is served as well."""

from __future__ import annotations

from bessemer.interfaces.simulator._asked import Vendor

_MODELS: dict[Vendor, tuple[str, ...]] = {
    "anthropic": ("claude-opus-4-6", "claude-sonnet-5", "claude-haiku-5-5"),
    "openai": ("gpt-5.4", "gpt-6-sol", "gpt-6-luna"),
    "google": ("gemini-3.1-pro-preview", "gemini-3-flash-preview", "gemini-3.8-flash"),
    "xai": ("grok-4.20-0309-reasoning", "grok-4.6", "grok-4.7"),
}


def models_of(vendor: Vendor) -> tuple[str, ...]:
    """Names for a vendor's list of models."""
    return _MODELS[vendor]
