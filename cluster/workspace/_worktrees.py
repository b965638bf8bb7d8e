"""Worktrees of a private repository: made, recorded, set back and removed.

A builder owns the folder and may do anything in it, so nothing found there is believed: the repository's side of a
worktree (`worktrees/<name>`) is looked up from the repository, never through the folder's `.git`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bessemer.cluster.canonical import content_hash
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
        head = await self._git.line("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        await in_thread(self._register, path, head)
        git = self.inside(path)
        await git.run("read-tree", head)
        await git.run("checkout-index", "--all", "--force", "--index")

    def _register(self, path: Path, head: str) -> None:
        """What `git worktree add` writes, but at once: it fails when it meets another worktree being added."""
        make_folder(path)
        record = self._record(path)
        with partial(record) as place, disk_errors(path):
            place.mkdir(parents=True)
            (place / "HEAD").write_text(f"{head}\n")
            (place / "commondir").write_text("../..\n")
            (place / "gitdir").write_text(f"{path}/.git\n")
            place.rename(record)
            (path / ".git").write_text(f"gitdir: {record}\n")

    async def remove_known(self, path: Path) -> None:
        """Remove `path` and the repository's record of it, if it is one of ours."""
        if self._record(path).is_dir():
            with disk_errors(path):
                await in_thread(remove, path)
                await in_thread(self._forget, self._record(path))

    def _forget(self, record: Path) -> None:
        with partial(self._repository / "forgotten") as place:
            record.rename(place)

    async def prune(self) -> None:
        """Remove the records of worktrees whose folder is gone."""
        await in_thread(self._prune)

    def _prune(self) -> None:
        for link in (self._repository / "worktrees").glob("*/gitdir"):
            with contextlib.suppress(FileNotFoundError):
                if not Path(link.read_text().rstrip("\n")).parent.exists():
                    self._forget(link.parent)

    def _record(self, path: Path) -> Path:
        """The repository's side of a worktree; its name follows from the path."""
        return self._repository / "worktrees" / f"{path.name}-{content_hash(str(path))[:12]}"

    def inside(self, path: Path) -> Git:
        """git for one worktree. Raises WorkspaceError where `path` is none of this repository's."""
        path = _paths.absolute(path)
        record = self._record(path)
        if not record.is_dir() or not path.is_dir():
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
