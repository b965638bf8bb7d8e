"""Writing a result back into the user's folder: all of it or nothing, and only over files nobody touched meanwhile."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bessemer.cluster.errors import DeliverableError, StateUnwritable
from bessemer.cluster.workspace import _moves
from bessemer.cluster.workspace._git import disk_errors
from bessemer.cluster.workspace._moves import Move, Touched
from bessemer.cluster.workspace._repository import Repository
from bessemer.cluster.workspace._threads import in_thread
from bessemer.cluster.workspace._types import Applied, Conflict, RefusedPath

_Entries = dict[str, tuple[str, str]]


async def apply_back(
    repo: Repository, base: str, commit: str, source: Path, fingerprint: Mapping[str, str]
) -> Applied | Conflict:
    """Write what differs between `base` and `commit` into `source`, deletions and new files included.

    Only if every touched file still has the content and mode it had when it was taken (`fingerprint`), and no new
    file's place is taken; otherwise Conflict, and nothing is written. A file that already is as the result has it is
    left alone. On any failure what was written is put back; after a kill the next call puts it back first.

    Raises DeliverableError where `source` is gone, StateUnwritable where it cannot be written or another process is
    applying to it, WorkspaceError where an interrupted change cannot be put back.
    """
    root = _root(source)
    store = root / ".bessemer" / "apply"
    with _alone(root):
        await _take_back(root, store)
        paths = await repo.changed(base, commit)
        before, after = await repo.entries(base, paths), await repo.entries(commit, paths)
        waiting = await in_thread(_not_yet_there, root, paths, after)
        conflicts = await in_thread(_conflicts, root, waiting, before, after, fingerprint)
        if conflicts:
            return Conflict(files=tuple(conflicts))
        if not waiting:
            return Applied()
        made_parent = not store.parent.exists()
        try:
            with disk_errors(root):
                await repo.check_out(commit, store / "new", [path for path in waiting if path in after])
                moves = await in_thread(_plan, store, waiting, before, after, fingerprint)
                await in_thread(_moves.move_all, root, store, moves)
        except Touched as touched:
            return Conflict(files=(touched.refused,))
        finally:
            await in_thread(lambda: _moves.clear(store, made_parent=made_parent))
    return _applied(moves)


async def recover(source: Path) -> None:
    """Put back what an `apply_back` killed halfway had moved. Nothing to do otherwise.

    Raises as `apply_back` does.
    """
    root = _root(source)
    with _alone(root):
        await _take_back(root, root / ".bessemer" / "apply")


async def _take_back(root: Path, store: Path) -> None:
    if await in_thread(store.is_dir):
        await in_thread(_moves.undo, root, store)
        await in_thread(lambda: _moves.clear(store, made_parent=False))


def _root(source: Path) -> Path:
    real = Path(os.path.realpath(source))
    root = real if real.is_dir() else real.parent
    if not root.is_dir():
        raise DeliverableError(f"{str(source)!r} no longer exists; export the result with --to PATH instead")
    return root


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keeps a second process from applying to the same folder; the lock dies with its holder."""
    with disk_errors(root):
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StateUnwritable(f"another process is applying a result to {str(root)!r}; wait for it to end") from error
    finally:
        os.close(descriptor)


def _not_yet_there(root: Path, paths: list[str], after: _Entries) -> list[str]:
    return [path for path in paths if not _is_there(root, path, after.get(path))]


def _is_there(root: Path, path: str, entry: tuple[str, str] | None) -> bool:
    place = root / path
    if entry is None:
        return not os.path.lexists(place) or _is_folder(place)
    content = _moves.content_of(place)
    if content is None or _moves.mode_of(place) != entry[0]:
        return False
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == entry[1]


def _conflicts(
    root: Path, paths: list[str], before: _Entries, after: _Entries, fingerprint: Mapping[str, str]
) -> list[RefusedPath]:
    going = {path for path in paths if path not in after}
    found = ((path, _conflict(root, path, before.get(path), going, fingerprint)) for path in paths)
    return [RefusedPath(path=path, reason=reason) for path, reason in found if reason is not None]


def _conflict(
    root: Path, path: str, old: tuple[str, str] | None, going: set[str], fingerprint: Mapping[str, str]
) -> str | None:
    place = root / path
    parts = path.split("/")
    for above in ("/".join(parts[:count]) for count in range(1, len(parts))):
        blocked = os.path.lexists(root / above) and not _is_folder(root / above)
        if blocked and above not in going:
            return _moves.BLOCKED
    if old is not None:
        same = _moves.mode_of(place) == old[0] and _moves.digest(place) == fingerprint.get(path)
        return None if same else _moves.CHANGED
    if not os.path.lexists(place):
        return None
    emptied = _is_folder(place) and any(gone.startswith(f"{path}/") for gone in going)
    return None if emptied else _moves.APPEARED


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


def _plan(
    store: Path, paths: list[str], before: _Entries, after: _Entries, fingerprint: Mapping[str, str]
) -> list[Move]:
    moves = []
    for path in paths:
        old = fingerprint[path] if path in before else ""
        if path not in after:
            moves.append(Move(path=path, action="delete", old=old))
        else:
            new = _moves.digest(store / "new" / path)
            moves.append(Move(path=path, action="write" if path in before else "add", old=old, new=new))
    return moves


def _applied(moves: list[Move]) -> Applied:
    by_action = {action: tuple(m.path for m in moves if m.action == action) for action in ("write", "add", "delete")}
    return Applied(written=by_action["write"], added=by_action["add"], deleted=by_action["delete"])
