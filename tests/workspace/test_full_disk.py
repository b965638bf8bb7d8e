"""A disk that fills up at any moment is told as what it is, whichever file of git's did not fit."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bessemer.cluster.errors import StateUnwritable
from bessemer.cluster.workspace import Repository, take_in

from .conftest import write

PAGE = 4096
MOST_PAGES = 40
"""A worktree of this project and its commit take less."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


async def test_whatever_does_not_fit_is_told_as_a_full_disk(checkout: Path, small_disk: Path) -> None:
    intake = await take_in(checkout, small_disk / "repository")
    repo = Repository(small_disk / "repository")
    filler = small_disk / "filler"
    fitted = refused = 0
    for pages in range(MOST_PAGES):
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - pages * PAGE))
        try:
            async with repo.worktree(small_disk / "w", intake.commit) as worktree:
                with contextlib.suppress(OSError):  # a builder's trouble, and told to it
                    write(worktree, {"more.py": f"{pages}\n" * 400})
                await repo.snapshot(worktree, "change", intake.commit)
            fitted += 1
        except StateUnwritable as error:
            assert "free space" in error.message
            refused += 1
    assert fitted and refused > 5
