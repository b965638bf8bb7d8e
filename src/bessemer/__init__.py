"""Bessemer: many models judge and refine work on a Ray cluster, under a budget that holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bessemer.interfaces.api import evaluate, refine

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "refine"]


def __getattr__(name: str) -> Any:
    """Import what a caller asks for when it asks: `bessemer --help` must not pay for Ray."""
    if name in ("evaluate", "refine"):
        from bessemer.interfaces import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
