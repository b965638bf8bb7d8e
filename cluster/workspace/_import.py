"""The user's files on their way into the private repository: each is read once, hashed and committed from the same
bytes, so that the fingerprint can't differ from what was taken."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bessemer.cluster.errors import DeliverableError
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._git import ADDRESS, EPOCH, IDENTITY
from bessemer.cluster.workspace._listing import Listing
from bessemer.cluster.workspace._threads import in_thread
from bessemer.cluster.workspace._types import IntakeLimits

BRANCH = "refs/heads/main"
_BATCH = 4_000_000
"""Bytes read before they are handed on."""


class FirstCommit:
    """A stream for `git fast-import` that makes one commit of a listing; `fingerprint` fills as it is read."""

    def __init__(self, listing: Listing, limits: IntakeLimits) -> None:
        self.fingerprint: dict[str, str] = {}
        self._listing = listing
        self._limits = limits
        self._total = 0
        if len(listing.paths) > limits.max_files:
            raise DeliverableError(
                f"{str(listing.root)!r} holds {len(listing.paths):,} files and {limits.max_files:,} are allowed; "
                "name a smaller folder"
            )

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream, a few megabytes at a time."""
        batches = self._batches()
        while (batch := await in_thread(next, batches, None)) is not None:
            yield batch

    def _batches(self) -> Iterator[bytes]:
        batch = bytearray(_header())
        for path in self._listing.paths:
            mode, content = self._content(path)
            self.fingerprint[path] = hashlib.sha256(content).hexdigest()
            self._count(len(content))
            batch += b"M %s inline %s\ndata %d\n" % (mode, _quoted(path), len(content)) + content + b"\n"
            if len(batch) > _BATCH:
                yield bytes(batch)
                batch.clear()
        yield bytes(batch) + b"done\n"

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > self._limits.max_total_bytes:
            raise DeliverableError(
                f"{str(self._listing.root)!r} holds more than {self._limits.max_total_bytes / 1e6:,.0f} MB; "
                "name a smaller folder"
            )

    def _content(self, path: str) -> tuple[bytes, bytes]:
        place = self._listing.root / path
        try:
            if place.is_symlink():
                return b"120000", self._link(path, place)
            mode, content = _read(place, self._limits.max_file_bytes)
        except FileNotFoundError as error:
            raise DeliverableError(f"{str(place)!r} vanished while it was read; try again when it rests") from error
        except OSError as error:
            reason = _paths.SPECIAL if error.errno == errno.ENXIO else _paths.UNREADABLE
            raise DeliverableError(f"{str(place)!r} {reason}") from error
        self._check(place, content)
        return mode, content

    def _link(self, path: str, place: Path) -> bytes:
        target = _paths.target_of(place)
        if problem := _paths.link_problem(self._listing.root, path, target):
            raise DeliverableError(f"{str(place)!r} {problem}")
        return os.fsencode(target)

    def _check(self, place: Path, content: bytes) -> None:
        if _paths.is_lfs_pointer(content):
            raise DeliverableError(f"{str(place)!r} {_paths.LFS_POINTER}")
        if self._listing.single_file and _paths.is_binary(content):
            raise DeliverableError(f"{str(place)!r} {_paths.BINARY}")


def _header() -> bytes:
    message = b"The work as it was handed in\n"
    return b"feature done\ncommit %s\ncommitter %s <%s> %d +0000\ndata %d\n%s" % (
        BRANCH.encode(),
        IDENTITY.encode(),
        ADDRESS.encode(),
        EPOCH,
        len(message),
        message,
    )


def _quoted(path: str) -> bytes:
    escaped = os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'


def _read(place: Path, limit: int) -> tuple[bytes, bytes]:
    """Mode as git writes it, and content, of a regular file. A FIFO is refused without waiting for its writer."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DeliverableError(f"{str(place)!r} {_paths.SPECIAL}")
        content = file.read(limit + 1) if status.st_size <= limit else b""
        if max(status.st_size, len(content)) > limit:
            raise DeliverableError(f"{str(place)!r} {_paths.too_large(max(status.st_size, len(content)), limit)}")
    return (b"100755" if status.st_mode & stat.S_IXUSR else b"100644"), content
