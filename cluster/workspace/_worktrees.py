"""Worktrees of a private repository: made, recorded, set back and removed.

A builder owns the folder and may do anything in it, so nothing found there is believed: the repository's side of a
worktree (`worktrees/<name>`) is looked up from the repository, never through the folder's `.git`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bessemer.cluster.errors import StateUnwritable, WorkspaceError
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._disk import is_empty_place, make_folder, partial, remove
from bessemer.cluster.workspace._git import Git, disk_errors
from bessemer.cluster.workspace._threads import in_thread
from bessemer.cluster.workspace._walk import Walk


class Worktrees:
    """The worktrees of one repository."""

    def __init__(self, git: Git, repository: Path, max_file_bytes: int) -> None:
        self._git = git
        self._repository = repository
        self._max_file_bytes = max_file_bytes

    async def add(self, path: Path, commit: str) -> None:
        """Check `commit` out at `path`; what an earlier, killed process left there as a worktree is replaced.

        Raises StateUnwritable where something else lies at `path`.
        """
        await self.remove_known(path)
        if not is_empty_place(path):
            raise StateUnwritable(f"{str(path)!r} is not a worktree of this run; move it away and resume")
        make_folder(path.parent)
        await self._git.run("worktree", "add", "--quiet", "--force", "--detach", "--", str(path), commit)

    async def remove_known(self, path: Path) -> None:
        """Remove `path` and the repository's record of it, if it is one of ours."""
        record = self._record(path)
        if record is not None:
            with disk_errors(path):
                await in_thread(remove, path)
                await in_thread(remove, record)

    async def prune(self) -> None:
        """Remove the records of worktrees whose folder is gone."""
        for record in self._records():
            with contextlib.suppress(FileNotFoundError):
                folder = Path(os.fsdecode((record / "gitdir").read_bytes()).rstrip("\n")).parent
                if not folder.exists() and not (record / "locked").exists():
                    await in_thread(remove, record)

    def _records(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return sorted((self._repository / "worktrees").iterdir())
        return []

    def _record(self, path: Path) -> Path | None:
        wanted = {f"{place}/.git" for place in (path, os.path.realpath(path))}
        for record in self._records():
            with contextlib.suppress(FileNotFoundError):
                if os.fsdecode((record / "gitdir").read_bytes()).rstrip("\n") in wanted:
                    return record
        return None

    def inside(self, path: Path) -> Git:
        """git for one worktree. Raises WorkspaceError where `path` is none of this repository's."""
        record = self._record(path)
        if record is None or not path.is_dir():
            raise WorkspaceError(f"{str(path)!r} is not a worktree of {str(self._repository)!r}; add it first")
        return self._git.having(path, GIT_DIR=record, GIT_WORK_TREE=path)

    def walk(self, path: Path) -> Walk:
        """Look at all files of a worktree. Blocking."""
        with disk_errors(path):
            return Walk(path, max_file_bytes=self._max_file_bytes, own=True)

    async def tracked_junk(self, path: Path, git: Git, tree: str) -> list[str]:
        """Files that a walk passes over and that `tree` holds all the same; some may be gone."""
        tracked = await git.names("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree)
        return [name for name in tracked if _is_passed_over(path, name)]

    async def tree_of(self, git: Git, paths: Iterable[str]) -> str:
        """Write the blobs and the tree of exactly these files, through an index of its own."""
        with self.own_index(git) as own:
            names = b"".join(os.fsencode(name) + b"\0" for name in paths)
            await own.run("update-index", "-z", "--add", "--remove", "--stdin", stdin=names)
            return await own.line("write-tree")

    @contextlib.contextmanager
    def own_index(self, git: Git) -> Iterator[Git]:
        """git with an empty index that nobody else sees and that is gone afterwards."""
        with partial(self._repository / "index") as folder:
            make_folder(folder)
            yield git.having(GIT_INDEX_FILE=folder / "index")

    async def set_to(self, path: Path, tree: str) -> None:
        """Make a worktree hold exactly `tree`: everything else in it goes, ignored files too."""
        git = self.inside(path)
        with self.own_index(git) as own:
            await own.run("read-tree", tree)
            await in_thread(_empty, path)
            await own.run("checkout-index", "--all", "--force")


def _is_passed_over(root: Path, name: str) -> bool:
    parts = name.split("/")
    if _paths.is_junk(parts[-1], folder=False):
        return True
    folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return _paths.has_junk_folder(name) or any(_paths.is_environment_folder(root / folder) for folder in folders)


def _empty(path: Path) -> None:
    with disk_errors(path):
        for entry in os.scandir(path):
            if entry.name != ".git":
                remove(Path(entry.path))
