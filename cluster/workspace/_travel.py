"""Work on its way between machines: a commit with its history as one pack, checked by git when it is taken apart.

A pack is named by the commit it brings, so that a machine which has the commit needs none.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bessemer.cluster.errors import WorkspaceError
from bessemer.cluster.workspace._disk import is_empty_place, partial
from bessemer.cluster.workspace._git import disk_errors
from bessemer.cluster.workspace._intake import create_repository
from bessemer.cluster.workspace._repository import Repository

MAX_PACK_BYTES = 100 * 2**20
"""What one message may carry."""
_PACK = ("pack-objects", "--stdout", "--revs", "-q")


async def pack(repository: Repository, commit: str, without: str = "") -> bytes:
    """`commit` and all it needs, apart from what `without` needs. Raises WorkspaceError over 100 MiB."""
    packed = await repository.git.run(*_PACK, stdin=_wanted(commit, without))
    if len(packed.out) > MAX_PACK_BYTES:
        raise WorkspaceError(
            f"commit {commit[:12]} packs into {len(packed.out)} bytes and {MAX_PACK_BYTES} may travel to another one; "
            "leave large files out, or name a workspace.url"
        )
    return packed.out


async def unpack(repository: Repository, commit: str, packed: bytes) -> None:
    """Take a pack in. Raises WorkspaceError where it is damaged, or does not bring `commit`."""
    if not await has(repository, commit):
        await repository.git.run("index-pack", "--stdin", stdin=packed)
    await _brought(repository, commit)


async def pack_into(path: Path, repository: Repository, commit: str, without: str = "") -> None:
    """The same into a file, whatever its size."""
    with disk_errors(path), path.open("wb") as file:
        await repository.git.into(file, *_PACK, stdin=_wanted(commit, without))


async def unpack_from(path: Path, repository: Repository, commit: str) -> None:
    """`unpack` from a file."""
    if not await has(repository, commit):
        with disk_errors(path), path.open("rb") as file, tempfile.TemporaryFile() as said:
            await repository.git.into(said, "index-pack", "--stdin", stdin=file)
    await _brought(repository, commit)


def _wanted(commit: str, without: str) -> bytes:
    return f"{commit}\n{f'^{without}' if without else ''}\n".encode()


async def _brought(repository: Repository, commit: str) -> None:
    if not await has(repository, commit):
        raise WorkspaceError(f"the pack for {str(repository.path)!r} does not hold commit {commit[:12]}; send it again")


async def has(repository: Repository, thing: str) -> bool:
    """Whether a commit or a tree is there."""
    return (await repository.git.run("cat-file", "-e", thing, ok=(0, 1, 128))).code == 0


async def receiver(path: Path) -> Repository:
    """The repository at `path`, made empty where there is none."""
    if is_empty_place(path):
        with partial(path) as place:
            await create_repository(place)
            with disk_errors(path):
                if is_empty_place(path):
                    place.replace(path)
    return Repository(path)
