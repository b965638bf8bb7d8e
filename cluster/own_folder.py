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
    ours = f"{kind}-{_process_space()}-"
    for left in place.glob(f"{ours}*"):
        pid = left.name.removeprefix(ours).partition("-")[0]
        # Another host may be removing the same ones.
        with contextlib.suppress(FileNotFoundError):
            if pid.isdigit() and not psutil.pid_exists(int(pid)) and left.stat().st_uid == os.getuid():
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{ours}{os.getpid()}-", dir=place))


def _process_space() -> str:
    """Among whom this process's id is unique: containers that share a folder cannot tell which of the others live."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"
