"""Folders of one process: a host that is killed cleans nothing up, so the next one does."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import psutil


def own_folder(kind: str, above: Path | None = None) -> Path:
    """A new folder for this user only, named after this process; those of processes that are gone are removed."""
    place = above or Path(tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob(f"{kind}-*"):
        _, _, rest = left.name.partition(f"{kind}-")
        pid = rest.partition("-")[0]
        # Another host may be removing the same ones.
        with contextlib.suppress(FileNotFoundError):
            if pid.isdigit() and not psutil.pid_exists(int(pid)) and left.stat().st_uid == os.getuid():
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{kind}-{os.getpid()}-", dir=place))
