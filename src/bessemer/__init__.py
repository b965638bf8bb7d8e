"""Bessemer: many models judge and refine work on a Ray cluster, under a budget that holds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bessemer.cluster.errors import BessemerError
    from bessemer.cluster.settings import Settings, load_settings
    from bessemer.interfaces.api import evaluate, refine
    from bessemer.pipelines.evaluate import EvaluateOutcome
    from bessemer.pipelines.refine import RefineOutcome

__version__ = "0.1.0"
__all__ = [
    "BessemerError",
    "EvaluateOutcome",
    "RefineOutcome",
    "Settings",
    "__version__",
    "evaluate",
    "load_settings",
    "refine",
]

_HOMES = {
    "BessemerError": "cluster.errors",
    "Settings": "cluster.settings",
    "load_settings": "cluster.settings",
    "evaluate": "interfaces.api",
    "refine": "interfaces.api",
    "EvaluateOutcome": "pipelines.evaluate",
    "RefineOutcome": "pipelines.refine",
}


def __getattr__(name: str) -> Any:
    """Import what a caller asks for when it asks: `bessemer --help` must not pay for Ray."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"bessemer.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
