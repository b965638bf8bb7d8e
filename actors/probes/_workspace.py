"""A private copy of a workspace, so that a probe never writes into what it measures."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

JUNK = shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", ".bessemer")


@contextlib.contextmanager
def private_copy(workspace: str) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="bsm-probe-", dir=Path(workspace).parent))
    try:
        tree = place / "tree"
        shutil.copytree(workspace, tree, symlinks=True, ignore=JUNK)
        yield tree
    finally:
        shutil.rmtree(place, ignore_errors=True)
