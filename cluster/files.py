"""Files that are whole or absent: written beside, made durable, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from bessemer.cluster.errors import StateUnwritable

_REMEDY = {
    errno.ENOSPC: "the disk is full; free some space and run the command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
    errno.EROFS: "the file system is read-only; choose another state directory",
    errno.EACCES: "permission denied; check the directory's permissions or choose another state directory",
    errno.EPERM: "permission denied; check the directory's permissions or choose another state directory",
    errno.EEXIST: "a part of the path is a file; choose another state directory",
    errno.ENOTDIR: "a part of the path is a file; choose another state directory",
}


_SERIAL = itertools.count()


@functools.cache
def _mark(process: int) -> str:
    """What no other process, on whatever machine, has in its names; a fork has another one."""
    return secrets.token_hex(6)


def write_atomic(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace `path` by `data`: a reader sees the old file or the new one, never a torn one.

    Missing parent folders are made. A `durable` file outlives a power cut; what is soon written again need not.
    Raises StateUnwritable (full disk, read-only or forbidden directory) and leaves nothing half-written behind.
    """
    _replace({path: data}, mode, durable=durable)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Replace several files, in their order, as `write_atomic` does one, for less. Raises StateUnwritable."""
    _replace(files, 0o644, durable=True)


def _replace(files: Mapping[Path, bytes], mode: int, *, durable: bool) -> None:
    beside: dict[Path, Path] = {}
    path = Path()
    try:
        try:
            for path, data in files.items():
                beside[path] = path.with_name(f".{path.name}.{_mark(os.getpid())}{next(_SERIAL):x}.tmp")
                _write(beside[path], data, mode, os.O_CREAT | os.O_EXCL, durable=durable)
            for path in files:
                beside[path].replace(path)
        except BaseException:
            for written in beside.values():
                with contextlib.suppress(OSError):
                    written.unlink(missing_ok=True)
            raise
        for folder in {path.parent for path in files} if durable else ():
            _sync_directory(folder)
    except OSError as error:
        raise unwritable(path, error) from None


def append_durable(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Append `data` to `path` in one write and make it durable. Raises StateUnwritable."""
    try:
        _write(path, data, mode, os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise unwritable(path, error) from None


def writable_directory(path: Path) -> Path:
    """The absolute path of a directory that exists and takes files; it is made if missing. Raises StateUnwritable."""
    directory = path.expanduser().absolute()
    trial = directory / f".writable.{secrets.token_hex(6)}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(trial, b"", 0o600, os.O_CREAT | os.O_EXCL)
        trial.unlink()
    except OSError as error:
        raise unwritable(directory, error) from None
    return directory


def unwritable(path: Path, error: OSError) -> StateUnwritable:
    """The one line that an error of the file system becomes."""
    number = error.errno or 0
    return StateUnwritable(f"cannot write {path}: {_REMEDY.get(number, error.strerror or str(error))}")


def _write(path: Path, data: bytes, mode: int, flags: int, *, durable: bool = True) -> None:
    """Missing parent folders are made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, mode)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, mode)
    # Without a file object: it would ask the system for what it is, and most of these files are small.
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    # Some file systems refuse to sync a directory; the rename has happened then and stands.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
