"""How large work is, before it is taken in."""

from __future__ import annotations

import os
from pathlib import Path

from bessemer.cluster.workspace._paths import is_environment_folder, is_junk

MOST_FILES = 20_000


def size_of_work(source: Path) -> int:
    """Bytes of the files at `source`, without what tools left; of a very large folder the first 20,000 files."""
    if source.is_file():
        return source.stat().st_size
    total = count = 0
    for place, folders, names in os.walk(source):
        folders[:] = [
            name
            for name in folders
            if name not in (".git", ".bessemer")
            and not is_junk(name, folder=True)
            and not is_environment_folder(Path(place, name))
        ]
        for name in names:
            path = Path(place, name)
            if not is_junk(name, folder=False) and not path.is_symlink() and path.is_file():
                total, count = total + path.stat().st_size, count + 1
        if count >= MOST_FILES:
            break
    return total
