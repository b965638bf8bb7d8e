"""Work on its way between machines: a commit with its history as one pack, checked by git when it is taken apart.

A pack is named by the commit it brings, so that a machine which has the commit needs none.
"""

from __future__ import annotations

from pathlib import Path

from bessemer.cluster.errors import WorkspaceError
from bessemer.cluster.workspace._disk import is_empty_place, partial
from bessemer.cluster.workspace._git import disk_errors
from bessemer.cluster.workspace._intake import create_repository
from bessemer.cluster.workspace._repository import Repository

MAX_PACK_BYTES = 100 * 2**20
"""What one message may carry."""


async def pack(repository: Repository, commit: str, without: str = "") -> bytes:
    """`commit` and all it needs, apart from what `without` needs. Raises WorkspaceError over 100 MiB."""
    wanted = f"{commit}\n" + (f"^{without}\n" if without else "")
    packed = await repository.git.run("pack-objects", "--stdout", "--revs", "-q", stdin=wanted.encode())
    if len(packed.out) > MAX_PACK_BYTES:
        raise WorkspaceError(
            f"commit {commit[:12]} packs into {len(packed.out)} bytes and {MAX_PACK_BYTES} may travel to another one; "
            "leave large files out, or build on the run's own machine"
        )
    return packed.out


async def unpack(repository: Repository, commit: str, packed: bytes) -> None:
    """Take a pack in. Raises WorkspaceError where it is damaged, or does not bring `commit`."""
    if not await has(repository, commit):
        await repository.git.run("index-pack", "--stdin", stdin=packed)
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
