"""A batch that is out, as the ledger names it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

INTENT = "intent/"
"""What a batch's key begins with until the vendor has named it."""


@dataclass(eq=False)
class Out:
    """One submission: its key in the ledger, and which attempts are in it by their names in the batch."""

    name: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    attempts: dict[str, str] = field(default_factory=dict)
    """Attempt by `custom_id`; those whose end is in the ledger are taken out."""
    runs: set[str] = field(default_factory=set)
    """Runs whose calls got their end."""
    has_ended: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while its results are taken, so that each is taken once."""
    reading: bool = False

    @property
    def batch(self) -> str:
        """The vendor's id; empty where it is not known."""
        return "" if self.name.startswith(INTENT) else self.name

    @property
    def mark(self) -> str:
        """Our own name for it at the vendor: short, and of letters that every vendor takes."""
        return f"bessemer-{self.name.rpartition('/')[2]}"
