"""Work on its way between machines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bessemer.cluster.errors import WorkspaceError
from bessemer.cluster.workspace import Commit, Repository, _travel, has, pack, receiver, take_in, unpack

from .conftest import write


async def changed(repo: Repository, folder: Path, base: str) -> Commit:
    async with repo.worktree(folder, base) as worktree:
        write(worktree, {"new.txt": "new\n", "bin": bytes(range(256)) * 40})
        made = await repo.snapshot(worktree, "change", base)
    assert isinstance(made, Commit)
    return made


async def test_work_goes_there_and_its_change_comes_back(checkout: Path, place: Path, tmp_path: Path) -> None:
    intake = await take_in(checkout, place)
    here, there = Repository(place), await receiver(tmp_path / "there" / "repository")
    assert not await has(there, intake.commit)
    await unpack(there, intake.commit, await pack(here, intake.commit))
    assert await there.tree(intake.commit) == intake.tree
    made = await changed(there, tmp_path / "scratch", intake.commit)
    packed = await pack(there, made.commit, without=intake.commit)
    assert len(packed) < 20_000
    await unpack(here, made.commit, packed)
    assert await here.changed(intake.commit, made.commit) == ["bin", "new.txt"]
    assert (await here.merge(intake.commit, intake.commit, made.commit)).commit == made.commit


async def test_many_may_bring_the_same_at_once(checkout: Path, place: Path, tmp_path: Path) -> None:
    intake = await take_in(checkout, place)
    packed = await pack(Repository(place), intake.commit)

    async def arrive() -> None:
        there = await receiver(tmp_path / "there" / "repository")
        await unpack(there, intake.commit, packed)
        assert await has(there, intake.commit)

    await asyncio.gather(*(arrive() for _ in range(5)))


async def test_a_damaged_pack_is_refused(checkout: Path, place: Path, tmp_path: Path) -> None:
    intake = await take_in(checkout, place)
    packed = bytearray(await pack(Repository(place), intake.commit))
    packed[len(packed) // 2] ^= 0xFF
    there = await receiver(tmp_path / "there")
    with pytest.raises(WorkspaceError):
        await unpack(there, intake.commit, bytes(packed))
    assert not await has(there, intake.commit)


async def test_a_pack_that_brings_something_else_is_refused(checkout: Path, place: Path, tmp_path: Path) -> None:
    intake = await take_in(checkout, place)
    there = await receiver(tmp_path / "there")
    with pytest.raises(WorkspaceError, match="does not hold commit"):
        await unpack(there, "0" * 40, await pack(Repository(place), intake.commit))


async def test_too_much_does_not_travel(checkout: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = await take_in(checkout, place)
    monkeypatch.setattr(_travel, "MAX_PACK_BYTES", 100)
    with pytest.raises(WorkspaceError, match="may travel") as caught:
        await pack(Repository(place), intake.commit)
    assert "\n" not in caught.value.message
