"""Which files of what the user named belong to the work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bessemer.cluster.errors import DeliverableError
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._checkout import Checkout, differences, look, open_checkout
from bessemer.cluster.workspace._threads import in_thread
from bessemer.cluster.workspace._walk import Walk

_KEYS = ".env"
"""A file of that name holds keys; unless git tracks it, it never reaches a model."""


class Listing(NamedTuple):
    """What to take. Paths relative to `root`, sorted by their bytes."""

    root: Path
    paths: list[str]
    left_out: list[str]
    single_file: bool = False
    checkout: Checkout | None = None
    """The checkout around it."""
    in_git: bool = False
    """Whether that checkout decided what belongs to the work."""
    uncommitted: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


async def list_source(
    source: Path, exclude: Iterable[Path], max_file_bytes: int, *, lenient: bool = False, empty_ok: bool = False
) -> Listing:
    """List a checkout, a plain folder or a single file. Raises DeliverableError where nothing can be taken.

    With `lenient` what of a plain folder cannot be taken is left out. An empty one is an error unless `empty_ok`.
    """
    root = await in_thread(_existing, source)
    if root.is_file():
        return await _single(root)
    skip = [place for place in map(_real, exclude) if not root.is_relative_to(place)]
    checkout = await open_checkout(root)
    if checkout is None or await _is_ignored(checkout, root):
        listing = await in_thread(_plain, root, skip, max_file_bytes, checkout, lenient)
    else:
        listing = await _tracked(root, skip, checkout)
    if not listing.paths and not empty_ok:
        raise DeliverableError(f"{str(source)!r} holds no files to work on; name a folder that does")
    return listing


def _existing(source: Path) -> Path:
    """The real file or folder that the user named."""
    if not os.path.lexists(source):
        raise DeliverableError(f"{str(source)!r} does not exist; name an existing file or folder")
    root = _real(source)
    if not root.exists():
        raise DeliverableError(f"{str(source)!r} is a symbolic link that leads nowhere; repair it")
    if not root.is_file() and not root.is_dir():
        raise DeliverableError(f"{str(source)!r} {_paths.SPECIAL}")
    if not os.access(root, os.R_OK | (os.X_OK if root.is_dir() else 0)):
        raise DeliverableError(f"{str(source)!r} {_paths.UNREADABLE}")
    return root


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


async def _is_ignored(checkout: Checkout, root: Path) -> bool:
    """Whether the checkout around a folder ignores the whole folder, so that git sees nothing in it."""
    if not checkout.prefix:
        return False
    git = checkout.git.having(GIT_LITERAL_PATHSPECS="")
    return (await git.run("check-ignore", "-q", "--", str(root), ok=(0, 1, 128))).code == 0


async def _single(file: Path) -> Listing:
    problem = _paths.name_problem(file.name)
    if problem is not None:
        raise DeliverableError(f"{str(file)!r} {problem}")
    checkout = await open_checkout(file.parent)
    uncommitted: list[str] = []
    if checkout is not None:
        uncommitted, _ = await differences(checkout, file.name)
    return Listing(file.parent, [file.name], [], True, checkout, checkout is not None, tuple(uncommitted))


def _plain(root: Path, skip: list[Path], max_file_bytes: int, around: Checkout | None, lenient: bool) -> Listing:
    walk = Walk(root, max_file_bytes=max_file_bytes, skip=skip)
    refused = [refusal for refusal in walk.refused if refusal.path != ".git"]
    if refused and not lenient:
        raise DeliverableError(f"{str(root / refused[0].path)!r} {refused[0].reason}")
    cannot = {refusal.path for refusal in refused}
    found = [path for path in walk.files + walk.links if path not in cannot]
    keys = [path for path in found if _name(path) == _KEYS]
    paths = _paths.by_bytes(list(set(found) - set(keys)))
    return Listing(root, paths, _paths.by_bytes([*walk.left_out, *keys, *cannot]), checkout=around)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


async def _tracked(root: Path, skip: list[Path], checkout: Checkout) -> Listing:
    seen = await look(checkout)
    state = [f"{place.relative_to(root)}/" for place in skip if place.is_relative_to(root)]
    presence = _Presence(root)
    paths: set[str] = set()
    left_out: set[str] = set()
    for path in filter(presence.has, seen.tracked):
        _sort_in(path, _state_folder(path, state), paths, left_out)
    for path in filter(presence.has, seen.untracked):
        _sort_in(path, _state_folder(path, state) or _leftover(root, path), paths, left_out)
    gone = set(seen.deleted) - paths - left_out - seen.sparse
    return Listing(
        root,
        _paths.by_bytes(list(paths)),
        _paths.by_bytes(list(left_out)),
        checkout=checkout,
        in_git=True,
        uncommitted=tuple(path for path in seen.uncommitted if path in paths or path in gone),
        deleted=tuple(_paths.by_bytes([path for path in gone if not _state_folder(path, state)])),
    )


def _sort_in(path: str, left_out_as: str | None, paths: set[str], left_out: set[str]) -> None:
    if left_out_as is not None:
        left_out.add(left_out_as)
        return
    problem = _paths.name_problem(path)
    if problem is not None:
        raise DeliverableError(f"{path!r} {problem}")
    paths.add(path)


def _state_folder(path: str, state: list[str]) -> str | None:
    """The state folder that a path lies in."""
    for folder in state:
        if path.startswith(folder):
            return folder.rstrip("/")
    return path[: path.index(".bessemer/")] + ".bessemer" if "/.bessemer/" in f"/{path}" else None


def _leftover(root: Path, path: str) -> str | None:
    """The junk folder that an untracked path lies in, or the path itself where it is junk or keys."""
    if _paths.is_junk(_name(path), folder=False) or _name(path) == _KEYS:
        return path
    parts = path.split("/")
    for count in range(1, len(parts)):
        folder = "/".join(parts[:count])
        if parts[count - 1] in _paths.JUNK_FOLDERS or _paths.is_environment_folder(root / folder):
            return folder
    return None


class _Presence:
    """Whether a path that git names is a file or link there now, not behind a link that took a folder's place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real: dict[str, bool] = {"": True}

    def has(self, path: str) -> bool:
        return self._is_real(path.rpartition("/")[0]) and self._is_no_folder(path)

    def _is_no_folder(self, path: str) -> bool:
        place = self._root / path
        return place.is_symlink() or (os.path.lexists(place) and not place.is_dir())

    def _is_real(self, folder: str) -> bool:
        if folder not in self._real:
            place = self._root / folder
            real = self._is_real(folder.rpartition("/")[0]) and not place.is_symlink() and place.is_dir()
            if real and not os.access(place, os.R_OK | os.X_OK):
                raise DeliverableError(f"{str(place)!r} {_paths.UNREADABLE}")
            self._real[folder] = real
        return self._real[folder]
