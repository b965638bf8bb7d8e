"""Folders that killed hosts left behind are removed by the next ones, however many of those begin at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bessemer.actors.probes._workspace import private_copy
from bessemer.cluster.own_folder import own_folder

HOSTS = 8


def named_after(process: int, like: Path, name: str) -> Path:
    """A folder beside `like` that another process could have made there."""
    return like.with_name(f"{like.name.rsplit('-', 2)[0]}-{process}-{name}")


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_dead_processes_left_is_removed_by_many_at_once(tmp_path: Path, gone: int) -> None:
    living = own_folder("kind", tmp_path)
    for number in range(300):
        named_after(gone, living, str(number)).mkdir()
    with ThreadPoolExecutor(HOSTS) as hosts:
        made = list(hosts.map(lambda _: own_folder("kind", tmp_path), range(HOSTS)))
    assert {*made, living} == set(tmp_path.iterdir())
    assert len(set(made)) == HOSTS


def test_what_another_container_made_is_left_alone(tmp_path: Path, gone: int) -> None:
    theirs = tmp_path / f"kind-1-{gone}-x"
    theirs.mkdir()
    mine = own_folder("kind", tmp_path)
    assert set(tmp_path.iterdir()) == {theirs, mine}


def test_a_killed_probers_copy_is_removed_by_the_next_one(
    tmp_path: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, temporary = tmp_path / "measured", tmp_path / "temporary"
    measured.mkdir()
    (measured / "a.py").write_text("x = 1\n")
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    async def copy() -> None:
        async with private_copy(str(measured)) as tree:
            left = named_after(gone, tree.parent, "left")
            (left / "tree").mkdir(parents=True)
        async with private_copy(str(measured)) as tree:
            assert (tree / "a.py").read_text() == "x = 1\n"
            assert set(temporary.iterdir()) == {tree.parent}

    asyncio.run(copy())
    assert not list(temporary.iterdir())
