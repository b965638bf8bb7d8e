"""Real git repositories in temporary folders, made as a user makes them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A User",
    "GIT_AUTHOR_EMAIL": "user@example.org",
    "GIT_COMMITTER_NAME": "A User",
    "GIT_COMMITTER_EMAIL": "user@example.org",
}
Shell = Callable[..., str]


@pytest.fixture
def git() -> Shell:
    """git as the user would run it: `git(folder, "add", "-A")` returns what it printed."""

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def read(root: Path, *skip: str) -> dict[str, tuple[int, bytes]]:
    """Every file's executable bit and content, every link's target; `.git` and `skip` at the top passed over."""
    found: dict[str, tuple[int, bytes]] = {}
    for place in sorted(root.rglob("*")):
        name = place.relative_to(root).as_posix()
        if name.split("/")[0] in (".git", *skip):
            continue
        if place.is_symlink():
            found[name] = (0o120000, os.readlink(place).encode())  # noqa: PTH115 - the exact words
        elif place.is_file():
            found[name] = (place.stat().st_mode & 0o100, place.read_bytes())
    return found


@pytest.fixture
def checkout(tmp_path: Path, git: Shell) -> Path:
    """A checkout with two commits, a modified, a staged, a deleted, an untracked and an ignored file."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    write(
        root,
        {
            "kept.py": "kept\n",
            "modified.py": "before\n",
            "deleted.py": "going\n",
            "staged.py": "old\n",
            "sub/inner.py": "inner\n",
            ".gitignore": "*.log\nbuild/\n",
        },
    )
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    write(
        root, {"modified.py": "after\n", "staged.py": "new\n", "fresh.py": "fresh\n", "noise.log": "x", "build/o": "o"}
    )
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "deleted.py").unlink()
    git(root, "add", "staged.py")
    return root


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a run keeps its private repository."""
    return tmp_path / "state" / "runs" / "r1" / "repository"
