"""The private repository of a run: commits, trees and what can be asked of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from bessemer.cluster.errors import DeliverableError, StateUnwritable
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._disk import is_empty_place, make_folder, partial, remove
from bessemer.cluster.workspace._git import PRIVATE_SETTINGS, Git, disk_errors
from bessemer.cluster.workspace._intake import read_intake
from bessemer.cluster.workspace._threads import in_thread
from bessemer.cluster.workspace._types import Commit, Intake, IntakeLimits, Merge, Refused
from bessemer.cluster.workspace._worktrees import Worktrees

_LEFT_OUT_SHOWN = 100


class Repository:
    """A private repository made by `take_in`.

    Safe to use from many tasks and processes at once. Every method raises WorkspaceError where git fails or takes
    too long, and StateUnwritable where the disk refuses.
    """

    def __init__(self, path: Path, *, max_file_bytes: int = IntakeLimits().max_file_bytes) -> None:
        self.path = _paths.absolute(path)
        self.git = Git(self.path, settings=PRIVATE_SETTINGS).having(GIT_DIR=self.path)
        self._worktrees = Worktrees(self.git, self.path, max_file_bytes)

    def intake(self) -> Intake:
        """What was taken in. Raises WorkspaceError where that record is missing or damaged."""
        return read_intake(self.path)

    @contextlib.asynccontextmanager
    async def worktree(self, path: Path, commit: str) -> AsyncIterator[Path]:
        """A folder at `path` holding `commit`, removed on exit. What a killed process left there is replaced."""
        path = _paths.absolute(path)
        try:
            await self._worktrees.add(path, commit)
            yield path
        finally:
            await self._worktrees.remove_known(path)

    async def prune(self) -> None:
        """Forget worktrees whose folders are gone, as after a crash."""
        await self._worktrees.prune()

    async def snapshot(self, worktree: Path, message: str, parent: str) -> Commit | Refused:
        """Commit all of a worktree. Equal files, message and parent give an equal commit, whenever and wherever.

        New files that the worktree's ignore rules name stay out (`left_out` lists them). Refused, with nothing
        committed: links that lead outside, nested repositories, special files, names and sizes that can't be taken.
        """
        git = self._worktrees.inside(worktree)
        walk = await in_thread(self._worktrees.walk, worktree)
        if walk.refused:
            return Refused(paths=tuple(sorted(walk.refused, key=lambda refusal: refusal.path)))
        known = set(await self._names(parent))
        ignored = await self._ignored(git, [path for path in walk.paths if path not in known])
        junk = await self._worktrees.tracked_junk(worktree, git, parent)
        tree = await self._worktrees.tree_of(git, [*(path for path in walk.paths if path not in ignored), *junk])
        commit = await self.commit(tree, message, parent)
        await git.run("update-ref", "--no-deref", "HEAD", commit)
        left_out = _paths.by_bytes(list(ignored))[:_LEFT_OUT_SHOWN]
        changed = tuple(await self.changed(parent, commit))
        return Commit(commit=commit, tree=tree, changed_files=changed, left_out=tuple(left_out))

    async def _ignored(self, git: Git, paths: list[str]) -> set[str]:
        if not paths:
            return set()
        # `./` keeps a name that begins with a colon from being read as pathspec magic, which cannot be off here.
        names = b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)
        plain = git.having(GIT_LITERAL_PATHSPECS="")
        ignored = await plain.names("check-ignore", "--no-index", "-z", "--stdin", stdin=names, ok=(0, 1))
        return {path.removeprefix("./") for path in ignored}

    async def tree_hash(self, worktree: Path) -> str:
        """The tree of everything in a worktree, ignored files included and tools' caches not.

        What it names can be set back with `restore`. Raises DeliverableError for a file over the size limit.
        """
        git = self._worktrees.inside(worktree)
        walk = await in_thread(self._worktrees.walk, worktree)
        if walk.too_large:
            first = walk.too_large[0]
            raise DeliverableError(f"{str(worktree / first.path)!r} {first.reason}")
        junk = await self._worktrees.tracked_junk(worktree, git, "HEAD")
        return await self._worktrees.tree_of(git, [*walk.paths, *junk])

    async def restore(self, worktree: Path, tree: str) -> None:
        """Make a worktree hold exactly `tree` (or a commit's tree) and nothing else."""
        await self._worktrees.set_to(worktree, tree)

    async def commit(self, tree: str, message: str, *parents: str) -> str:
        """Commit a tree. The hash depends on nothing but the arguments."""
        above = [part for parent in parents for part in ("-p", parent)]
        text = message.replace("\0", "").encode(errors="replace")
        return await self.git.line("commit-tree", *above, "-F", "-", tree, stdin=text)

    async def merge(self, base: str, ours: str, theirs: str, message: str = "Combine independent work") -> Merge:
        """Combine two commits that both grew from `base`; where they disagree, the paths and no commit.

        A side that changed nothing yields the other side's commit as it is.
        """
        trees = {name: await self.tree(name) for name in (base, ours, theirs)}
        if trees[theirs] in (trees[base], trees[ours]):
            return Merge(commit=ours, tree=trees[ours])
        if trees[ours] == trees[base]:
            return Merge(commit=theirs, tree=trees[theirs])
        # Children of `base` stand in for both sides: their merge base is then `base`, whatever the history says.
        sides = [await self.commit(trees[side], "side", base) for side in (ours, theirs)]
        answer = await self.git.run(
            "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", *sides, ok=(0, 1)
        )
        tree, *conflicts = [os.fsdecode(part) for part in answer.out.split(b"\0") if part]
        if answer.code == 1:
            return Merge(conflicts=tuple(conflicts))
        return Merge(commit=await self.commit(tree, message, ours, theirs), tree=tree)

    async def tree(self, commit: str) -> str:
        """Hash of a commit's tree. Raises WorkspaceError for an unknown commit."""
        return await self.git.line("rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")

    async def diff(self, a: str, b: str, *, limit: int = 200_000) -> str:
        """Unified diff from `a` to `b` for reading, at most `limit` bytes; the last line says if it was cut."""
        out, whole = await self.git.head(
            "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", a, b, "--", limit=limit
        )
        text = out.decode(errors="replace")
        return text if whole else f"{text.rpartition(chr(10))[0]}\n[diff cut at {limit} bytes]\n"

    async def changed(self, a: str, b: str) -> list[str]:
        """Paths that differ between two commits or trees, sorted by their bytes; a rename counts as both its names."""
        return await self.git.names("diff-tree", "-r", "-z", "--name-only", "--no-renames", a, b)

    async def files(self, commit: str) -> tuple[str, ...]:
        """All paths of a commit or tree, sorted by their bytes."""
        return tuple(await self._names(commit))

    async def _names(self, commit: str) -> list[str]:
        return await self.git.names("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)

    async def read(self, commit: str, path: str) -> bytes:
        """Content of one file (of a link: its target). Raises DeliverableError where the commit has no such file."""
        answer = await self.git.run("cat-file", "blob", f"{commit}:{path}", ok=(0, 128))
        if answer.code != 0:
            raise DeliverableError(f"{path!r} is no file of commit {commit[:12]}; `files` lists what it holds")
        return answer.out

    async def export_tree(self, commit: str, directory: Path, *, replace: bool = False) -> None:
        """Write a commit's files to a plain folder that appears whole or not at all.

        An existing folder that is not empty is replaced if `replace`, else raises StateUnwritable.
        """
        directory = _paths.absolute(directory)
        if not replace and not is_empty_place(directory):
            raise StateUnwritable(f"{str(directory)!r} is not empty; name a new folder")
        with partial(directory) as place:
            await self.check_out(commit, place)
            with disk_errors(directory):
                if not is_empty_place(directory):
                    await in_thread(remove, directory)
                place.replace(directory)

    async def check_out(self, commit: str, place: Path, paths: list[str] | None = None) -> None:
        """Write a commit's files, or those named, into a new folder `place`."""
        make_folder(place)
        git = self.git.having(place, GIT_WORK_TREE=place)
        with self._worktrees.own_index(git) as own:
            await own.run("read-tree", commit)
            if paths is None:
                await own.run("checkout-index", "--all", "--force")
            else:
                names = b"".join(os.fsencode(path) + b"\0" for path in paths)
                await own.run("checkout-index", "--force", "-z", "--stdin", stdin=names)

    async def entries(self, commit: str, paths: list[str]) -> dict[str, tuple[str, str]]:
        """Mode (as git writes it, `100755`) and blob of those of `paths` that a commit holds."""
        wanted = set(paths)
        found: dict[str, tuple[str, str]] = {}
        for line in await self.git.names("ls-tree", "-r", "-z", "--full-tree", commit):
            facts, _, path = line.partition("\t")
            if path in wanted:
                mode, _, blob = facts.split(" ")
                found[path] = (mode, blob)
        return found
