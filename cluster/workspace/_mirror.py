"""A folder in two places: what its files are, and the difference on its way from one to the other."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from bessemer.cluster.errors import DeliverableError
from bessemer.cluster.workspace._listing import list_source
from bessemer.cluster.workspace._threads import in_thread

CONFIGURATION = ".bessemer/config.yaml"
"""Belongs to the folder although nothing else beside it does; it may not hold a key."""
MOST_FILE_BYTES = 100 * 2**20
PARCEL_BYTES = 4 * 2**20
"""Files of one message, unless one alone is larger."""

States = dict[str, str]
"""By path: `file:` or `program:` with a SHA-256, or `link:` with what it names."""


async def states_of(folder: Path) -> States:
    """The files that belong to a folder. Left out is what git ignores, `.bessemer`, `.env`, and what tools leave."""
    listing = await list_source(folder, [folder / ".bessemer"], MOST_FILE_BYTES, lenient=True, empty_ok=True)
    paths = [path for path in listing.paths if not path.startswith(".bessemer/")]
    if (folder / CONFIGURATION).is_file():
        paths.append(CONFIGURATION)
    return await in_thread(lambda: {path: _state(folder / path) for path in paths if os.path.lexists(folder / path)})


def state_of(file: Path) -> str:
    """As in States; empty where there is no file."""
    return _state(file) if os.path.lexists(file) else ""


def _state(file: Path) -> str:
    if file.is_symlink():
        return f"link:{file.readlink()}"
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return f"{'program' if os.access(file, os.X_OK) else 'file'}:{digest}"


def parcels(folder: Path, paths: Iterable[str]) -> Iterator[str]:
    """Files for the way, several together, as text. Raises DeliverableError for one that is too large."""
    part: list[str] = []
    size = 0
    for path in sorted(paths):
        length = os.lstat(folder / path).st_size
        if length > MOST_FILE_BYTES:
            raise DeliverableError(
                f"{path!r} has {length / 2**20:.0f} MiB, and {MOST_FILE_BYTES // 2**20} can travel; "
                "let git ignore it, or work on a machine of the cluster"
            )
        if part and size + length > PARCEL_BYTES:
            yield _parcel(folder, part)
            part, size = [], 0
        part.append(path)
        size += length
    if part:
        yield _parcel(folder, part)


def _parcel(folder: Path, paths: list[str]) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for path in paths:
            tar.add(folder / path, arcname=path, recursive=False)
    return base64.b64encode(buffer.getvalue()).decode()


def unpack_parcel(folder: Path, parcel: str) -> list[str]:
    """Put the files of a parcel into the folder, each whole or not at all; returns their paths.

    Raises DeliverableError for one that would lie outside of it.
    """
    with tempfile.TemporaryDirectory(dir=_made(folder), prefix=".arriving-") as beside:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(parcel)), mode="r:gz") as tar:
            names = tar.getnames()
            try:
                tar.extractall(beside, filter="data")
            except tarfile.FilterError as error:
                raise DeliverableError(f"not taken in: {error}") from None
        for name in names:
            there = folder / name
            if not _made(there.parent).resolve().is_relative_to(folder.resolve()):
                raise DeliverableError(f"not taken in: {name!r} would lie outside of {folder}")
            if there.is_dir() and not there.is_symlink():
                shutil.rmtree(there)
            Path(beside, name).replace(there)
    return names


def remove_files(folder: Path, paths: Iterable[str]) -> None:
    """Delete files, and folders that are empty without them."""
    for path in paths:
        file = folder / path
        if file.parent.resolve().is_relative_to(folder.resolve()) and os.path.lexists(file) and not file.is_dir():
            file.unlink()
            for parent in list(file.relative_to(folder).parents)[:-1]:
                if any((folder / parent).iterdir()):
                    break
                (folder / parent).rmdir()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
