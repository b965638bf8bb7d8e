"""Backends: models behind one seam."""

from bessemer.actors.backends._context import CallContext, current_call
from bessemer.actors.backends._registry import (
    PROVIDERS,
    Capabilities,
    capabilities,
    check_keys,
    check_place,
    key_variables,
    open_backend,
    recorded,
    resolve_name,
    short_names,
)
from bessemer.actors.backends.agents import billing, priced_as, substitute

__all__ = [
    "PROVIDERS",
    "CallContext",
    "Capabilities",
    "billing",
    "capabilities",
    "check_keys",
    "check_place",
    "current_call",
    "key_variables",
    "open_backend",
    "priced_as",
    "recorded",
    "resolve_name",
    "short_names",
    "substitute",
]
