"""The user's own git checkout, only ever read: what they see in it, and where it stands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from bessemer.cluster.errors import DeliverableError, WorkspaceError
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._git import Git

_PERSONAL = "^core\\.(excludesfile|attributesfile|autocrlf|eol)$"
_NO_CHECKOUT = "fatal: not a git repository (or any"


class Checkout(NamedTuple):
    """A checkout as one of its folders sees it."""

    git: Git
    prefix: str
    """Path of that folder inside the checkout, with a trailing slash; empty at the top."""
    head: str | None


class Seen(NamedTuple):
    """What git knows of a folder. Paths relative to it."""

    tracked: list[str]
    untracked: list[str]
    uncommitted: list[str]
    deleted: list[str]
    sparse: set[str]


async def open_checkout(folder: Path) -> Checkout | None:
    """The checkout that `folder` lies in, or None where there is none.

    Raises DeliverableError for a bare repository and for one that git cannot read.
    """
    git = Git(folder, settings=await _personal_settings(folder))
    answer = await git.run("rev-parse", "--is-inside-work-tree", ok=(0, 128))
    if answer.error.startswith(_NO_CHECKOUT):
        return None
    if answer.code != 0:
        raise DeliverableError(
            f"{str(folder)!r} lies in a git checkout that git cannot read ({answer.error[:200]}); repair it first"
        )
    if answer.line != "true":
        raise DeliverableError(f"{str(folder)!r} is inside a git repository's own files; name a checkout instead")
    prefix = await git.line("rev-parse", "--show-prefix")
    head = await git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1, 128))
    return Checkout(git, prefix, head.line if head.code == 0 else None)


async def _personal_settings(folder: Path) -> dict[str, str]:
    """What the user's own configuration says of ignoring and line ends; nothing in it that could run."""
    personal = {name: value for name, value in os.environ.items() if name in ("HOME", "XDG_CONFIG_HOME")}
    personal["GIT_CONFIG_GLOBAL"] = os.environ.get("GIT_CONFIG_GLOBAL", "")
    home = Path(personal.get("HOME", "/dev/null"))
    shared = Path(personal.get("XDG_CONFIG_HOME") or home / ".config") / "git"
    settings = {"core.excludesFile": str(shared / "ignore"), "core.attributesFile": str(shared / "attributes")}
    git = Git(folder).personal(personal)
    found = await git.run("config", "--null", "--type=path", "--get-regexp", _PERSONAL, ok=(0, 1, 128))
    for entry in found.out.split(b"\0"):
        name, separator, value = os.fsdecode(entry).partition("\n")
        if separator:
            settings[name] = value
    return settings


async def look(checkout: Checkout) -> Seen:
    """List tracked and untracked, not ignored files, and what differs from HEAD.

    Raises DeliverableError for a submodule and for a nested repository.
    """
    git = checkout.git
    tracked, sparse = _tracked(await git.names("ls-files", "-z", "-t", "--stage", "--cached"))
    untracked = await git.names("ls-files", "-z", "--others", "--exclude-standard")
    for path in untracked:
        if path.endswith("/"):
            raise DeliverableError(f"{str(git.cwd / path)!r} {_paths.GIT_LINK}")
    uncommitted, deleted = await differences(checkout, ".")
    return Seen(tracked, untracked, uncommitted, deleted, sparse)


def _tracked(lines: list[str]) -> tuple[list[str], set[str]]:
    tracked: dict[str, None] = {}
    sparse: set[str] = set()
    for line in lines:
        facts, _, path = line.partition("\t")
        tag, mode, _, _ = facts.split(" ")
        if mode == "160000":
            raise DeliverableError(f"{path!r} {_paths.SUBMODULE}")
        tracked[path] = None
        if tag.upper() == "S":
            sparse.add(path)
    return list(tracked), sparse


async def differences(checkout: Checkout, pathspec: str) -> tuple[list[str], list[str]]:
    """Paths that differ from HEAD (staged, unstaged or untracked), and those of them that HEAD has and are gone."""
    lines = await checkout.git.names(
        "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", pathspec
    )
    prefix = checkout.prefix
    changed = [(line[:2], line[3:].removeprefix(prefix)) for line in lines if line[3:].startswith(prefix)]
    return [path for _, path in changed], [path for state, path in changed if "D" in state]


async def has_commit(git: Git, commit: str) -> bool:
    try:
        return (await git.run("cat-file", "-e", f"{commit}^{{commit}}", ok=(0, 1, 128))).code == 0
    except WorkspaceError:
        return False
