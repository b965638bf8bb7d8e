"""What it costs to create a file, which decides what runs that write many files cost.

After thousands of files were deleted, ext4 passes over every one of their inodes whenever it creates a file, for
minutes: it does not hand out again what was deleted a moment ago (`recently_deleted` in Linux's fs/ext4/ialloc.c). The
folder that a benchmark removes at its end is such a deletion for the next one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

FILES = 64
USUAL = 10.0
"""Creating a file costs about five times what rewriting it does, and 50 to 70 times after such a deletion."""
PATIENCE = 300.0
"""Seconds."""


def settle(folder: Path) -> float:
    """Wait until creating a file in `folder` costs what it usually does, or for PATIENCE.

    Returns what one costs then, in microseconds of CPU.
    """
    until, told = time.monotonic() + PATIENCE, False
    while True:
        created, rewritten = _cost(folder)
        if created < USUAL * rewritten or time.monotonic() > until:
            return round(created, 1)
        if not told:
            found = f"creating a file takes {created:.0f} us of CPU here, as after a large deletion"
            print(f"{found}; waiting for up to {PATIENCE / 60:.0f} minutes", file=sys.stderr)
            told = True
        time.sleep(10)


def _cost(folder: Path) -> tuple[float, float]:
    """Microseconds of CPU to create a small file and to rewrite it.

    The files stay: another deletion is what must not happen now.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    return _writing(place, os.O_CREAT | os.O_EXCL), _writing(place, 0)


def _writing(place: Path, flags: int) -> float:
    before = time.thread_time()
    for number in range(FILES):
        descriptor = os.open(place / str(number), os.O_WRONLY | flags, 0o644)
        os.write(descriptor, b"x")
        os.close(descriptor)
    return (time.thread_time() - before) / FILES * 1e6
