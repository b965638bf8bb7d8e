"""What the simulator is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What the simulator is started with; most of it can be changed while it runs."""

    seed: int = 0
    scenario: Path | None = None
    latency: str = "0"
    faults: tuple[str, ...] = ()
    rate: str = ""
    """Requests a second for each model; empty for no limit."""
    concurrency: int | None = None
    """Requests in flight for each model; None for no limit."""
    show_limits: bool = True
    """Whether answers carry the vendor's rate headers."""
    batch_seconds: float = 1.0
    """How long a batch takes from its creation."""
    batch_expires: float = 86400.0
    """Seconds after which what is left of a batch expires."""
    books: Path | None = None
