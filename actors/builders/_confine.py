"""Paths a model names, kept inside its worktree."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class ToolFault(Exception):
    """What a tool cannot do, told to the model in words; never an error of the builder."""


class Confined:
    """A worktree as a model may reach it: relative paths only, nothing outside, nothing of git."""

    def __init__(self, root: Path, readable: tuple[str, ...] = (), really: tuple[str, ...] = ()) -> None:
        """`readable` are files outside the worktree that may be read by exactly these absolute paths.

        `really` says, in the same order, where they are on this machine, if not there.
        """
        self.real_root = Path(os.path.realpath(root))
        """The worktree with every link on the way to it followed."""
        self._readable = dict(zip(readable, really or readable, strict=True))

    def inside(self, path: str) -> Path:
        """The place of a relative path, links followed. Raises ToolFault where it is not the worktree's."""
        named = path.strip() or "."
        parts = named.split("/")
        if named.startswith(("/", "~")):
            raise ToolFault(f"{path!r} is absolute; name a path relative to the workspace")
        if ".." in parts or "\0" in named:
            raise ToolFault(f"{path!r} leads out of the workspace; name a path inside it")
        if any(part.lower() == ".git" for part in parts):
            raise ToolFault(f"{path!r} belongs to git and is off limits")
        try:
            real = Path(os.path.realpath(self.real_root / named))
        except (OSError, ValueError):
            raise ToolFault(f"{path!r} is no usable path") from None
        if not real.is_relative_to(self.real_root):
            raise ToolFault(f"{path!r} is a link that leads out of the workspace; it is off limits")
        if any(part.lower() == ".git" for part in real.relative_to(self.real_root).parts):
            raise ToolFault(f"{path!r} is a link into git's own files and is off limits")
        return real

    def relative(self, path: str) -> Path:
        """`inside`, seen from the worktree."""
        return self.inside(path).relative_to(self.real_root)

    def text(self, path: str, limit: int) -> str:
        """A file's text. Raises ToolFault for what is no text file of at most `limit` bytes."""
        place = Path(self._readable[path]) if path in self._readable else self.inside(path)
        try:
            facts = place.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise ToolFault(f"{path!r} is no file; list_files shows what there is")
            if facts.st_size > limit:
                raise ToolFault(f"{path!r} has {facts.st_size} bytes and {limit} can be read; use search or run")
            return place.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ToolFault(f"{path!r} is no UTF-8 text") from None
        except OSError as error:
            raise ToolFault(f"{path!r} cannot be read: {error.strerror or error}") from None

    def put(self, path: str, content: str) -> None:
        """Write a file, folders on the way included. Raises ToolFault where that cannot be."""
        place = self.inside(path)
        if place == self.real_root or (place.exists() and not place.is_file()):
            raise ToolFault(f"{path!r} is no file; name a file")
        try:
            data = content.encode()
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except UnicodeEncodeError:
            raise ToolFault(f"the content for {path!r} is not valid Unicode; write it again") from None
        except (FileExistsError, NotADirectoryError):
            raise ToolFault(f"{path!r} lies below a file; name another folder") from None
        except PermissionError:
            raise ToolFault(f"{path!r} is write-protected") from None
