"""The simulator's books: every request it was sent, and what became of it."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bessemer.cluster.errors import StateUnwritable
from bessemer.interfaces.simulator._answers import Usage
from bessemer.interfaces.simulator._asked import Asked


class Books:
    """Entries in memory and, where `file` is given, one JSON line each. Raises StateUnwritable."""

    def __init__(self, file: Path | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self.outcomes: Counter[str] = Counter()
        self._file = _open(file) if file is not None else None

    def enter(
        self, asked: Asked, *, status: int, outcome: str, billed: bool, usage: Usage | None, request_id: str
    ) -> None:
        """Write one request down, before it is answered."""
        entry = {
            "number": len(self.entries) + 1,
            "at": round(time.time(), 3),
            "vendor": asked.vendor,
            "endpoint": asked.endpoint,
            "model": asked.model,
            "mode": "batch" if asked.batch else "stream" if asked.stream else "live",
            "key": asked.caller.attempt,
            "persona": asked.caller.persona,
            "batch": asked.batch,
            "digest": asked.digest.hex(),
            "request_id": request_id,
            "status": status,
            "outcome": outcome,
            "billed": billed,
            "usage": usage._asdict() if usage is not None else None,
        }
        self.entries.append(entry)
        self.outcomes[f"{asked.vendor}:{outcome}"] += 1
        if self._file is not None:
            os.write(self._file, json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open(file: Path) -> int:
    try:
        return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateUnwritable(f"cannot write the books {file}: {error.strerror}; name another file") from None
