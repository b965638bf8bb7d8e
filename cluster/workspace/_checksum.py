"""Proof that a checkout is byte for byte what it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._threads import in_thread


async def user_checkout_hash(path: Path) -> str:
    """SHA-256 over every entry below `path`, `.git` included: name, type, permissions, and content or link target.

    Times are not part of it.
    """
    return await in_thread(_hash, path)


def _hash(root: Path) -> str:
    total = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            place = Path(folder, name)
            status = place.lstat()
            total.update(b"\0%s\0%o\0" % (os.fsencode(place.relative_to(root)), status.st_mode))
            if place.is_symlink():
                total.update(os.fsencode(_paths.target_of(place)))
            elif place.is_file():
                total.update(hashlib.sha256(place.read_bytes()).digest())
    return total.hexdigest()
