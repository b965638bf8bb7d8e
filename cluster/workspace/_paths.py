"""Which paths a workspace may hold, and what every refusal says."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

JUNK_FOLDERS = frozenset(
    {
        ".bessemer",
        ".git",
        ".hypothesis",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
    }
)
"""Folders that tools make and nobody hands in."""
JUNK_FILES = frozenset({".DS_Store", ".coverage"})

GIT_LINK = "is a git repository inside the work; move it elsewhere or remove its .git"
ESCAPES = "is a symbolic link that leads outside; replace it by a copy of its target"
INTO_GIT = "is a symbolic link into git's own files; remove it or replace it by a copy of its target"
NOT_UTF8 = "has a name that is not UTF-8; rename it"
RESERVED = "has a name that git keeps for itself; rename it"
SPECIAL = "is a FIFO, socket or device; remove it"
SUBMODULE = "is a git submodule; copy its files in, or name the submodule's own folder"
LFS_POINTER = "is a Git LFS pointer without its content; run `git lfs pull` first"
UNREADABLE = "cannot be read; give read access or remove it"
BINARY = "is a binary file; name a text file or a folder"

_LFS_POINTER_FORM = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(ext-.*\n)*oid sha256:[0-9a-f]+\n")
_GIT_ALIAS = re.compile(r"git~\d+", re.IGNORECASE)


def absolute(path: str | Path) -> Path:
    """The absolute form of a path, links in it left as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def target_of(link: str | Path) -> str:
    """A symbolic link's words, untouched (`Path.readlink` would tidy them)."""
    return os.readlink(link)  # noqa: PTH115


def too_large(size: int, limit: int) -> str:
    return f"has {size / 1e6:,.1f} MB and {limit / 1e6:,.1f} MB are allowed; leave it out of the work"


def is_junk(name: str, *, folder: bool) -> bool:
    """Whether a file or folder of that name is a tool's leftover."""
    return name in (JUNK_FOLDERS if folder else JUNK_FILES)


def has_junk_folder(path: str) -> bool:
    return any(part in JUNK_FOLDERS for part in path.split("/")[:-1])


def is_environment_folder(path: str | Path) -> bool:
    """Whether a folder is a Python virtual environment, whatever it is called."""
    # Of a folder that may not be entered `Path.is_file` raises; who lists it says so with its name.
    return os.path.isfile(os.path.join(path, "pyvenv.cfg"))  # noqa: PTH113, PTH118


def name_problem(path: str) -> str | None:
    """Why a relative path cannot be taken because of its name; None if it can."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return NOT_UTF8
    parts = path.split("/")
    if any(part.lower() == ".git" for part in parts):
        return GIT_LINK
    if any(_GIT_ALIAS.fullmatch(part) for part in parts):
        return RESERVED
    return None


def is_gits(path: str) -> bool:
    """Whether a path names git's own files or leads through them, on a disk that tells no case apart too."""
    return any(part.lower() == ".git" or _GIT_ALIAS.fullmatch(part) for part in path.split("/"))


def link_problem(root: Path, path: str, target: str) -> str | None:
    """Why the symbolic link at `root/path` cannot be taken: it leads outside `root` or into git's own files.

    Its words and where it really ends are both asked: the words decide where it leads once copied, and other links on
    the way may bend it.
    """
    if target.startswith("/") or not target:
        return ESCAPES
    words = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    real_root = os.path.realpath(root)
    real = os.path.relpath(os.path.realpath(os.path.join(real_root, path)), real_root)  # noqa: PTH118 - Path folds dots
    for end in (words, real):
        if end == ".." or end.startswith("../"):
            return ESCAPES
        if is_gits(end):
            return INTO_GIT
    return None


def is_lfs_pointer(content: bytes) -> bool:
    return len(content) < 1024 and _LFS_POINTER_FORM.match(content) is not None


def is_binary(content: bytes) -> bool:
    """git's own rule: a NUL among the first 8,000 bytes."""
    return b"\0" in content[:8000]


def by_bytes(paths: list[str]) -> list[str]:
    """Sorted as git sorts: by the bytes of the names."""
    return sorted(paths, key=os.fsencode)
