"""Files that clients upload and that batches leave behind, in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class StoredFile:
    """One file."""

    id: str
    name: str
    content: bytes
    purpose: str = ""
    mime_type: str = "application/jsonl"
    created_at: float = field(default_factory=time.time)


class Files:
    """The files of one vendor."""

    def __init__(self) -> None:
        self.all: dict[str, StoredFile] = {}

    def put(self, file: StoredFile) -> StoredFile:
        self.all[file.id] = file
        return file
