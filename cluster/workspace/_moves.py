"""Moving many files into a folder as one change that a journal can take back.

`new/<path>` holds what shall stand at `path`, `old/<path>` receives what stood there. The journal is written when
`new` is complete and removed when every move is made: a folder with a journal is an interrupted change.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.cluster.errors import BessemerError, WorkspaceError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._disk import flush, flush_folder, remove
from bessemer.cluster.workspace._git import disk_errors
from bessemer.cluster.workspace._types import RefusedPath

CHANGED = "was changed since the run began; keep your version and export the result instead"
APPEARED = "appeared since the run began; move it away or export the result instead"
BLOCKED = "lies behind something that was a folder when the run began; export the result instead"
_JOURNAL = "journal.json"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


class Move(BaseModel):
    """One file to change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    action: Literal["write", "add", "delete"]
    old: str = ""
    """SHA-256 of what stands there before; empty for an added file."""
    new: str = ""
    """SHA-256 of what stands there afterwards; empty for a deleted one."""


class _Journal(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    moves: tuple[Move, ...]


class Touched(Exception):
    """A file turned out to be changed by someone else while it was being moved."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.refused = RefusedPath(path=path, reason=reason)


def content_of(place: Path) -> bytes | None:
    """Bytes of a regular file, words of a link; None where neither stands there."""
    try:
        if place.is_symlink():
            return os.fsencode(_paths.target_of(place))
        return place.read_bytes() if place.is_file() else None
    except OSError:
        return None


def digest(place: Path) -> str:
    """SHA-256 of a file or of a link's words; empty where neither stands there."""
    content = content_of(place)
    return "" if content is None else hashlib.sha256(content).hexdigest()


def mode_of(place: Path) -> str:
    """The mode git would record; empty where there is no file or link."""
    try:
        mode = place.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISLNK(mode):
        return "120000"
    return ("100755" if mode & stat.S_IXUSR else "100644") if stat.S_ISREG(mode) else ""


def move_all(root: Path, store: Path, moves: Sequence[Move]) -> None:
    """Make every move, or none. `store/new` is complete.

    Raises Touched for a file that was changed meanwhile; whatever is raised, everything is as it was before.
    """
    # Deletions first, because a new folder may need the name of a file that goes; undoing goes the other way.
    moves = sorted(moves, key=lambda move: ("delete", "write", "add").index(move.action))
    _keep_permissions(root, store, moves)
    write_atomic(store / _JOURNAL, _Journal(moves=tuple(moves)).model_dump_json().encode())
    try:
        for move in moves:
            _make(root, store, move)
        for folder in {(root / move.path).parent for move in moves if (root / move.path).parent.is_dir()}:
            flush_folder(folder)
    except BaseException:
        undo(root, store)
        raise
    (store / _JOURNAL).unlink()


def _keep_permissions(root: Path, store: Path, moves: Sequence[Move]) -> None:
    """New versions take over the old ones' permissions, but for the executable bit, which is content."""
    for move in moves:
        new = store / "new" / move.path
        if move.action == "delete" or new.is_symlink():
            continue
        old = root / move.path
        if move.action == "write" and not old.is_symlink():
            kept = stat.S_IMODE(old.lstat().st_mode)
            runs = bool(new.lstat().st_mode & stat.S_IXUSR)
            new.chmod(kept | (kept & 0o444) >> 2 if runs else kept & ~0o111)
        with new.open("rb") as file:
            flush(file.fileno())


def _make(root: Path, store: Path, move: Move) -> None:
    target, new, aside = root / move.path, store / "new" / move.path, store / "old" / move.path
    if move.action != "add":
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.rename(aside)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Touched(move.path, CHANGED) from error
        if digest(aside) != move.old:
            raise Touched(move.path, CHANGED)
    if move.action == "delete":
        _remove_empty(root, target.parent)
    else:
        _place(target, new, move)


def _place(target: Path, new: Path, move: Move) -> None:
    """Put a new version in, over nothing: a file that someone made there meanwhile is never replaced."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(new, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                raise FileExistsError from error
            new.rename(target)
    except (FileExistsError, NotADirectoryError) as error:
        raise Touched(move.path, APPEARED if move.action == "add" else CHANGED) from error


def undo(root: Path, store: Path) -> None:
    """Put everything back as the journal in `store` says; nothing to do without one.

    Raises WorkspaceError for a file that someone changed after the interruption; then nothing more is moved.
    """
    journal = store / _JOURNAL
    if not journal.is_file():
        return
    try:
        moves = _Journal.model_validate_json(journal.read_bytes()).moves
    except ValidationError as error:
        raise WorkspaceError(
            f"{str(journal)!r} is damaged; put back the files under `old` beside it by hand"
        ) from error
    with disk_errors(root):
        for move in reversed(moves):
            _unmake(root, store, move)
        journal.unlink()


def _unmake(root: Path, store: Path, move: Move) -> None:
    target, new, aside = root / move.path, store / "new" / move.path, store / "old" / move.path
    was_moved = os.path.lexists(aside)
    placed = move.action != "delete" and (was_moved or move.action == "add") and _is_ours(target, new, move)
    if placed:
        target.unlink()
    if was_moved:
        if os.path.lexists(target):
            raise WorkspaceError(
                f"{str(target)!r} was changed after an interrupted apply; its old version is {str(aside)!r}: "
                f"settle which to keep, then remove {str(store)!r}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(target)
    elif move.action == "add":
        _remove_empty(root, target.parent)


def _is_ours(target: Path, new: Path, move: Move) -> bool:
    """Whether what stands at the target was put there by `_place`: the very file, or its content with `new` gone."""
    if not os.path.lexists(target):
        return False
    if os.path.lexists(new):
        return os.path.samestat(target.lstat(), new.lstat())
    return digest(target) == move.new


def _remove_empty(root: Path, folder: Path) -> None:
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


def clear(store: Path, *, made_parent: bool) -> None:
    """Remove the store, unless it holds the journal of a change that could not be taken back."""
    if (store / _JOURNAL).exists():
        return
    with contextlib.suppress(BessemerError, OSError):
        remove(store)
        if made_parent:
            store.parent.rmdir()
