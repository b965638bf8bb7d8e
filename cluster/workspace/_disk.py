"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from bessemer.cluster.workspace._git import disk_errors

_MARK = ".partial-"
_counter = itertools.count()


@contextlib.contextmanager
def partial(target: Path) -> Iterator[Path]:
    """A path beside `target` to prepare it at; whatever still lies there afterwards is removed.

    What dead processes left beside the same target is removed first.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
    place = target.parent / f".{target.name}{_MARK}{os.getpid()}-{next(_counter)}"
    try:
        yield place
    finally:
        remove(place)


def _remove_stale(target: Path) -> None:
    start = f".{target.name}{_MARK}"
    for entry in os.scandir(target.parent):
        if not entry.name.startswith(start):
            continue
        owner = entry.name.removeprefix(start).split("-")[0]
        if owner.isdigit() and int(owner) != os.getpid() and not psutil.pid_exists(int(owner)):
            remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, read-only folders included. Missing is fine; links stay links."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        if os.lstat(folder).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            Path(folder).chmod(stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=False)


def flush(descriptor: int) -> None:
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    # Some file systems refuse to sync a folder; the rename has happened then and stands.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and what is missing above it."""
    with disk_errors(folder):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)


def is_empty_place(target: Path) -> bool:
    """Whether something new may be put at `target`: nothing is there, or an empty folder."""
    if target.is_symlink():
        return False
    if not target.exists():
        return True
    return target.is_dir() and next(iter(os.scandir(target)), None) is None
