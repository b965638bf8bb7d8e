"""What lies in a folder: every file and link, and what of it cannot be taken."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._types import RefusedPath


class Walk:
    """One walk below `root`, tools' leftovers passed over. All paths are relative to the root.

    With `own` (a worktree of ours) unreadable entries are made readable and the `.git` at the top is passed over.
    """

    def __init__(self, root: Path, *, max_file_bytes: int, skip: Iterable[Path] = (), own: bool = False) -> None:
        self.files: list[str] = []
        self.links: list[str] = []
        self.left_out: list[str] = []
        self.refused: list[RefusedPath] = []
        self.too_large: list[RefusedPath] = []
        """Those of `refused` that are refused for their size."""
        self._root = root
        self._limit = max_file_bytes
        self._skip = {os.fspath(path) for path in skip}
        self._own = own
        self._pending = [""]
        while self._pending:
            self._folder(self._pending.pop())

    @property
    def paths(self) -> list[str]:
        return self.files + self.links

    def _folder(self, prefix: str) -> None:
        for entry in self._entries(prefix):
            path = prefix + entry.name
            if self._own and path == ".git":
                continue
            if self._is_left_out(entry):
                self.left_out.append(path)
            elif (problem := self._problem(path, entry)) is not None:
                self.refused.append(RefusedPath(path=path, reason=problem))

    def _entries(self, prefix: str) -> list[os.DirEntry[str]]:
        folder = self._root / prefix
        try:
            if self._own and prefix and folder.lstat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
                folder.chmod(stat.S_IRWXU)
            with os.scandir(folder) as entries:
                found = list(entries)
        except PermissionError:
            found = None
        if found is None or not os.access(folder, os.X_OK):
            self.refused.append(RefusedPath(path=prefix or ".", reason=_paths.UNREADABLE))
            return []
        return found

    def _is_left_out(self, entry: os.DirEntry[str]) -> bool:
        if entry.path in self._skip:
            return True
        folder = entry.is_dir(follow_symlinks=False)
        if entry.name == ".git":
            return False
        return _paths.is_junk(entry.name, folder=folder) or (folder and _paths.is_environment_folder(entry.path))

    def _problem(self, path: str, entry: os.DirEntry[str]) -> str | None:
        problem = _paths.name_problem(path)
        if problem is not None:
            return problem
        if entry.is_symlink():
            self.links.append(path)
            return _paths.link_problem(self._root, path, _paths.target_of(entry.path))
        if entry.is_dir(follow_symlinks=False):
            self._pending.append(path + "/")
            return None
        return self._file_problem(path, entry)

    def _file_problem(self, path: str, entry: os.DirEntry[str]) -> str | None:
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return _paths.SPECIAL
        if self._own and not status.st_mode & stat.S_IRUSR:
            Path(entry.path).chmod(stat.S_IMODE(status.st_mode) | stat.S_IRUSR)
        self.files.append(path)
        if status.st_size <= self._limit:
            return None
        problem = _paths.too_large(status.st_size, self._limit)
        self.too_large.append(RefusedPath(path=path, reason=problem))
        return problem
