"""A private copy of a workspace, so that a probe never writes into what it measures; and what files it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from bessemer.cluster.own_folder import own_folder

SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".bessemer", ".mypy_cache", ".ruff_cache"})
MAX_FILES = 20_000
MAX_TEXT_BYTES = 2_000_000
"""A larger file is not read by the probes that read text; they say so."""


@contextlib.asynccontextmanager
async def private_copy(workspace: str) -> AsyncIterator[Path]:
    """A throw-away copy beside the system's temporary files; links stay links, pipes and sockets are left out."""
    place = await asyncio.to_thread(own_folder, "bsm-probe")
    try:
        tree = place / "tree"
        await asyncio.to_thread(shutil.copytree, workspace, tree, symlinks=True, ignore=_ignored)
        yield tree
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, place, ignore_errors=True))


def files_of(workspace: str, paths: tuple[str, ...] = (), endings: tuple[str, ...] = ()) -> list[str]:
    """Relative paths of the regular files, sorted; links are not followed. `paths` keeps what lies at or under them."""
    found: list[str] = []
    root = Path(workspace)
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file() or (endings and not name.lower().endswith(endings)):
                continue
            found.append(path.relative_to(root).as_posix())
        if len(found) > MAX_FILES:
            break
    return [file for file in found[:MAX_FILES] if not paths or any(_under(file, path) for path in paths)]


def read_text(workspace: str, file: str) -> str | None:
    """The file's text; None where it is binary, too large or unreadable."""
    path = Path(workspace) / file
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    return None if b"\0" in data else data.decode(errors="replace")


def _under(file: str, path: str) -> bool:
    clean = path.strip("/").removeprefix("./")
    return clean in ("", ".") or file == clean or file.startswith(clean + "/")


def _ignored(folder: str, names: list[str]) -> set[str]:
    odd = {name for name in names if (path := Path(folder) / name).exists() and not (path.is_file() or path.is_dir())}
    return odd | (SKIPPED & set(names))
