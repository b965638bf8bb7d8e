"""What a workspace speaks of: what was taken in, commits, refusals, merges and what left again."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IntakeLimits(_Frozen):
    """How much may be taken in."""

    max_file_bytes: int = Field(default=50_000_000, gt=0)
    """Bytes one file may have; a larger one is refused."""
    max_files: int = Field(default=100_000, gt=0)
    max_total_bytes: int = Field(default=2_000_000_000, gt=0)
    timeout: float = Field(default=600.0, gt=0)
    """Seconds the whole intake may take."""


class Intake(_Frozen):
    """What was taken from the user, kept as `intake.json` in the private repository."""

    commit: str
    tree: str
    files: tuple[str, ...]
    """Paths relative to the source, sorted by their bytes."""
    fingerprint: dict[str, str]
    """SHA-256 in hex of each file's bytes (of a symbolic link's target), as they were committed."""
    source: str
    """Absolute path of what the user named."""
    single_file: bool = False
    source_is_git: bool = False
    source_head: str | None = None
    """Commit the checkout stood on; None for a plain folder and before a first commit."""
    prefix: str = ""
    """Path of the source inside its git checkout, with a trailing slash; empty at the top."""
    uncommitted: tuple[str, ...] = ()
    """Paths whose content differs from `source_head`, deletions and untracked files included."""
    deleted: tuple[str, ...] = ()
    """Paths that `source_head` has and the user had deleted."""
    left_out: tuple[str, ...] = ()
    """Paths not taken on purpose: caches, `.env` files that git does not track, the state directory."""


class Commit(_Frozen):
    """A worktree's state, committed."""

    commit: str
    tree: str
    changed_files: tuple[str, ...] = ()
    """Paths that differ from the parent, sorted."""
    left_out: tuple[str, ...] = ()
    """New paths that the worktree's own ignore rules keep out of the result; at most 100."""


class RefusedPath(_Frozen):
    path: str
    reason: str
    """One line: what is wrong and what to do."""


class Refused(_Frozen):
    """A worktree that cannot be committed as it stands."""

    paths: tuple[RefusedPath, ...]

    @property
    def message(self) -> str:
        first = self.paths[0]
        more = f" (and {len(self.paths) - 1} more)" if len(self.paths) > 1 else ""
        return f"{first.path!r} {first.reason}{more}"


class Merge(_Frozen):
    """Two commits combined: either a commit or the paths on which they disagree."""

    commit: str = ""
    tree: str = ""
    conflicts: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.conflicts


class Exported(_Frozen):
    """What left the private repository, and where it lies."""

    target: str
    """Folder, patch file, or branch."""
    changed: tuple[str, ...]
    """Paths in which the result differs from what was taken in."""
    commit: str = ""
    """For a branch: its commit in the user's repository."""
    message: str = ""
    """For a branch: the commit message, which names uncommitted changes that are in it."""


class Applied(_Frozen):
    """The result stands in the user's folder. Paths that already were as the result has them are in none."""

    written: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    @property
    def conflicts(self) -> tuple[str, ...]:
        """None: so that a caller may ask both answers the same question."""
        return ()


class Conflict(_Frozen):
    """Nothing was written, because these files are not as they were at the start."""

    files: tuple[RefusedPath, ...]

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The paths alone."""
        return tuple(file.path for file in self.files)
