"""A folder in two places: what its files are, and the difference on its way from one to the other."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from bessemer.cluster.errors import DeliverableError
from bessemer.cluster.workspace._listing import list_source
from bessemer.cluster.workspace._threads import in_thread

CONFIGURATION = ".bessemer/config.yaml"
"""Belongs to the folder although nothing else beside it does; it may not hold a key."""
MOST_FILE_BYTES = 100 * 2**20
PARCEL_BYTES = 4 * 2**20
"""Files of one message, unless one alone is larger."""
FOLDER = "folder"

States = dict[str, str]
"""By path: `file:` or `program:` with a SHA-256, or `link:` with what it names."""


class Parcel(NamedTuple):
    """Some of the files that were asked for."""

    content: str
    rest: list[str]
    """What did not fit in."""
    refused: dict[str, str]
    """What cannot travel, and why."""


async def states_of(folder: Path) -> States:
    """The files that belong to a folder. Left out is what git ignores, `.bessemer`, `.env`, and what tools leave.

    Raises DeliverableError for one that cannot be read.
    """
    listing = await list_source(folder, [folder / ".bessemer"], MOST_FILE_BYTES, lenient=True, empty_ok=True)
    paths = [path for path in listing.paths if not path.startswith(".bessemer/")]
    if (folder / CONFIGURATION).is_file():
        paths.append(CONFIGURATION)
    found = await in_thread(lambda: {path: state_of(folder / path) for path in paths})
    # A folder in the list is a repository inside, which git does not look into.
    return {path: state for path, state in found.items() if state not in ("", FOLDER)}


def state_of(file: Path) -> str:
    """As in States; `folder`, and empty where there is nothing. Raises DeliverableError where it cannot be read."""
    try:
        if file.is_symlink():
            return f"link:{file.readlink()}"
        if file.is_dir():
            return FOLDER
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return f"{'program' if os.access(file, os.X_OK) else 'file'}:{digest}"
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise DeliverableError(f"{str(file)!r} cannot be read: {error.strerror}") from None


def pack_parcel(folder: Path, paths: Iterable[str]) -> Parcel:
    """The first of these files that fit into one message. One that is gone by now is left out."""
    waiting = sorted(paths, reverse=True)
    refused: dict[str, str] = {}
    buffer, size = io.BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        while waiting:
            file = folder / waiting[-1]
            try:
                length = file.lstat().st_size
                if length > MOST_FILE_BYTES:
                    refused[waiting[-1]] = f"has more than {MOST_FILE_BYTES // 2**20} MiB"
                elif size and size + length > PARCEL_BYTES:
                    break
                else:
                    tar.add(file, arcname=waiting[-1], recursive=False)
                    size += length
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                refused[waiting[-1]] = f"cannot be read: {error.strerror}"
            waiting.pop()
    return Parcel(base64.b64encode(buffer.getvalue()).decode(), waiting, refused)


def unpack_parcel(folder: Path, parcel: str, place: Callable[[str], str | None]) -> dict[str, str]:
    """Put the files of a parcel into the folder, each whole or not at all; returns those refused, and why.

    `place` says under which name a file is put, looked at right before it is: None leaves it out. No file is put
    outside of the folder, into `.git`, or in the place of a folder.
    """
    refused: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".arriving-") as beside,
        tarfile.open(fileobj=io.BytesIO(base64.b64decode(parcel)), mode="r:gz") as tar,
    ):
        for member in tar:
            try:
                tar.extract(member, beside, filter="data")
                if (name := place(member.name)) is not None:
                    _put(Path(beside, member.name), folder, name)
            except (tarfile.FilterError, DeliverableError) as error:
                refused[member.name] = str(error)
            except OSError as error:
                refused[member.name] = error.strerror or str(error)
    return refused


def _put(file: Path, folder: Path, name: str) -> None:
    parts = Path(name).parts
    there = folder / name
    if Path(name).is_absolute() or ".." in parts or ".git" in parts:
        raise DeliverableError("is no place for it")
    around = there.parent
    while not around.exists():
        around = around.parent
    if not around.resolve().is_relative_to(folder.resolve()):
        raise DeliverableError("would lie outside of the folder")
    if there.is_dir() and not there.is_symlink():
        raise DeliverableError("a folder of that name is there")
    there.parent.mkdir(parents=True, exist_ok=True)
    file.replace(there)


def remove_files(folder: Path, paths: Iterable[str]) -> None:
    """Delete files, and folders that are empty without them."""
    for path in paths:
        file = folder / path
        if not os.path.lexists(file) or (file.is_dir() and not file.is_symlink()):
            continue
        if file.parent.resolve().is_relative_to(folder.resolve()):
            file.unlink()
            for parent in list(file.relative_to(folder).parents)[:-1]:
                if any((folder / parent).iterdir()):
                    break
                (folder / parent).rmdir()


def clear_for(folder: Path, name: str) -> None:
    """Make room for a file where a folder is, or where a file is in the way of its folder."""
    there = folder / name
    if there.is_dir() and not there.is_symlink():
        shutil.rmtree(there)
    for parent in list(Path(name).parents)[:-1]:
        if os.path.lexists(folder / parent) and not (folder / parent).is_dir():
            (folder / parent).unlink()
