"""Letting a result out: a plain folder, a patch, or a branch in the user's repository."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bessemer.cluster.errors import BessemerError, UsageError
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._checkout import Checkout, has_commit, open_checkout
from bessemer.cluster.workspace._disk import flush, flush_folder, is_empty_place, make_folder, partial
from bessemer.cluster.workspace._git import Git, disk_errors
from bessemer.cluster.workspace._repository import Repository
from bessemer.cluster.workspace._threads import in_thread
from bessemer.cluster.workspace._types import Exported, Intake

_NAMED = 10
_OTHER_WAYS = "export with --to PATH or --patch FILE instead"


async def export_to(repo: Repository, commit: str, base: str, target_dir: Path) -> Exported:
    """Copy a commit's files to a new or empty folder, which appears whole or not at all.

    Raises UsageError where something is in the folder already.
    """
    target = _paths.absolute(target_dir)
    if not is_empty_place(target):
        raise UsageError(f"{str(target)!r} is not an empty folder; name a new one")
    await repo.export_tree(commit, target)
    return Exported(target=str(target), changed=tuple(await repo.changed(base, commit)))


async def export_files(files: Mapping[str, Path], target_dir: Path) -> Exported:
    """Copy files, by their path in the target, to a new or empty folder, which appears whole or not at all.

    Links are copied as links. Raises UsageError where something is in the folder already.
    """
    target = _paths.absolute(target_dir)
    if not is_empty_place(target):
        raise UsageError(f"{str(target)!r} is not an empty folder; name a new one")
    await in_thread(_copy, files, target)
    return Exported(target=str(target), changed=tuple(sorted(files)))


def _copy(files: Mapping[str, Path], target: Path) -> None:
    with partial(target) as place, disk_errors(target):
        place.mkdir()
        for name, source in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place / name, follow_symlinks=False)
        place.replace(target)
        flush_folder(target.parent)


async def export_patch(repo: Repository, base: str, commit: str, file: Path) -> Exported:
    """Write what `commit` changed as a patch that `git apply` takes where the user's work stood at the start.

    Raises UsageError where the file exists or nothing was changed.
    """
    target = _paths.absolute(file)
    if os.path.lexists(target):  # noqa: ASYNC240 - one stat
        raise UsageError(f"{str(target)!r} exists; name a new file")
    changed = tuple(await repo.changed(base, commit))
    if not changed:
        raise UsageError("the run changed nothing, so there is no patch to write; `bessemer run show` tells why")
    prefix = repo.intake().prefix
    with partial(target) as place, disk_errors(target):
        with place.open("wb") as out:
            await repo.git.into(
                out,
                *("diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
                *(f"--src-prefix=a/{prefix}", f"--dst-prefix=b/{prefix}", base, commit, "--"),
            )
            flush(out.fileno())
        os.link(place, target)
        flush_folder(target.parent)
    return Exported(target=str(target), changed=changed)


async def export_branch(
    repo: Repository, commit: str, user_repo: Path, branch: str, *, message: str = "", when: int | None = None
) -> Exported:
    """Create `branch` in the user's repository: one commit with the result, on the HEAD recorded at the start.

    Nothing but that branch and its objects is added; checkout, index and other branches stay as they are. Uncommitted
    work that was taken in is part of the commit, and its message says so. `when`: the commit's date in seconds since
    1970, now by default. Raises UsageError where the branch exists, its name is not allowed, the source was no git
    checkout, the recorded HEAD is gone, or a file passes through a git filter.
    """
    intake = repo.intake()
    if not intake.source_is_git:
        raise UsageError(f"{intake.source!r} was no git checkout; {_OTHER_WAYS}")
    checkout = await _checkout_for(_paths.absolute(user_repo), intake, branch)
    changed = tuple(await repo.changed(intake.commit, commit))
    text = _message(message, intake)
    async with _scratch(repo, checkout) as scratch:
        result = set(await repo.files(commit))
        touched = {*changed, *intake.uncommitted, *intake.deleted} if intake.source_head else result
        await repo.check_out(commit, scratch.cwd / intake.prefix, sorted(touched & result))
        tree = await _result_tree(scratch, intake, touched & result, touched - result)
        made = await _commit(scratch, tree, intake.source_head, text, int(time.time()) if when is None else when)
        await _hand_over(scratch, checkout, made, branch)
    return Exported(target=branch, changed=changed, commit=made, message=text)


async def _checkout_for(user_repo: Path, intake: Intake, branch: str) -> Checkout:
    if not await in_thread(user_repo.is_dir):
        raise UsageError(f"{str(user_repo)!r} is no folder; name the checkout the work came from")
    checkout = await open_checkout(user_repo)
    if checkout is None:
        raise UsageError(f"{str(user_repo)!r} is no git checkout; {_OTHER_WAYS}")
    git = checkout.git
    named = await git.run("check-ref-format", "--branch", branch, ok=(0, 1, 128))
    if named.code != 0 or named.line != branch:
        raise UsageError(f"{branch!r} is no name for a branch; use letters, digits, '-' and '/'")
    reference = f"refs/heads/{branch}"
    taken = await git.run("show-ref", "--verify", "--quiet", reference, ok=(0, 1, 128))
    current = await git.run("symbolic-ref", "--quiet", "HEAD", ok=(0, 1, 128))
    if taken.code == 0 or current.line == reference:
        raise UsageError(f"branch {branch!r} exists in {str(user_repo)!r}; name a new one")
    if intake.source_head is not None and not await has_commit(git, intake.source_head):
        raise UsageError(f"commit {intake.source_head[:12]} is no longer in {str(user_repo)!r}; {_OTHER_WAYS}")
    return checkout


def _message(message: str, intake: Intake) -> str:
    text = message.strip() or "Result of a Bessemer run"
    if intake.uncommitted:
        names = ", ".join(intake.uncommitted[:_NAMED])
        more = f" and {len(intake.uncommitted) - _NAMED} more" if len(intake.uncommitted) > _NAMED else ""
        text += f"\n\nHolds uncommitted changes that stood in the checkout when the run began: {names}{more}."
    return text + "\n"


@asynccontextmanager
async def _scratch(repo: Repository, checkout: Checkout) -> AsyncIterator[Git]:
    """The user's repository seen with another folder, index and object store; the last reads theirs and writes ours.

    Its conversions (line ends) are then the user's own, and nothing of theirs is written to.
    """
    ask = checkout.git
    git_dir = await ask.line("rev-parse", "--absolute-git-dir")
    objects = await ask.line("rev-parse", "--path-format=absolute", "--git-path", "objects")
    with partial(repo.path / "branch") as place:
        folder, own_objects = place / "files", place / "objects"
        make_folder(folder)
        make_folder(own_objects)
        yield ask.having(
            folder,
            GIT_DIR=git_dir,
            GIT_WORK_TREE=folder,
            GIT_INDEX_FILE=place / "index",
            GIT_OBJECT_DIRECTORY=own_objects,
            GIT_ALTERNATE_OBJECT_DIRECTORIES=_quoted(objects),
        )


def _quoted(path: str) -> str:
    """A path as git's list of object stores wants it, where a colon would end it."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' if '"' in path or ":" in path else path


async def _result_tree(scratch: Git, intake: Intake, there: set[str], gone: set[str]) -> str:
    """HEAD's tree with every path that the user or the run touched as the result has it; all else stays HEAD's."""
    await scratch.run("read-tree", intake.source_head if intake.source_head else "--empty")
    written = _lines([intake.prefix + path for path in there])
    await _refuse_filters(scratch, written)
    removed = _lines([intake.prefix + path for path in gone])
    await scratch.run("update-index", "-z", "--force-remove", "--stdin", stdin=removed)
    await scratch.run("update-index", "-z", "--add", "--replace", "--stdin", stdin=written)
    return await scratch.line("write-tree")


def _lines(paths: list[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in sorted(paths))


async def _refuse_filters(scratch: Git, paths: bytes) -> None:
    """A filter is a program of the user's; it is not ours to run, and content that has not passed it is wrong."""
    facts = await scratch.names("check-attr", "-z", "--stdin", "filter", stdin=paths)
    for path, _, value in zip(facts[::3], facts[1::3], facts[2::3], strict=True):
        if value not in ("unspecified", "unset"):
            raise UsageError(f"{path!r} passes through the git filter {value!r}; {_OTHER_WAYS}")


async def _commit(scratch: Git, tree: str, parent: str | None, text: str, when: int) -> str:
    above = ("-p", parent) if parent else ()
    date = f"{when} +0000"
    dated = scratch.having(GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
    return await dated.line("commit-tree", *above, "-F", "-", tree, stdin=text.encode(errors="replace"))


async def _hand_over(scratch: Git, checkout: Checkout, commit: str, branch: str) -> None:
    """Give the user's repository the new objects as one pack, then the branch: one rename each."""
    # Named outright: called from a subfolder, `index-pack` would make a second `.git` there.
    theirs = checkout.git.having(GIT_DIR=await checkout.git.line("rev-parse", "--absolute-git-dir"))
    objects = scratch.cwd.parent / "objects"
    new = [entry.parent.name + entry.name for entry in objects.glob("[0-9a-f][0-9a-f]/*")]
    names = "".join(f"{name}\n" for name in sorted(new)).encode()
    with (objects / "new.pack").open("w+b") as pack, (objects / "answer").open("wb") as answer:
        await scratch.into(pack, "pack-objects", "--stdout", "--quiet", stdin=names)
        pack.seek(0)
        await theirs.into(answer, "index-pack", "--stdin", stdin=pack)
    reference, none = f"refs/heads/{branch}", "0" * len(commit)
    try:
        await theirs.run("update-ref", reference, commit, none)
    except BessemerError as error:
        raise UsageError(f"branch {branch!r} could not be created ({error.message}); name a new one") from error
