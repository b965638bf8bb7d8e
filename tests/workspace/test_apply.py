"""Applying writes all of a result or nothing of it, and never over what the user touched."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bessemer.cluster.errors import DeliverableError, StateUnwritable, WorkspaceError
from bessemer.cluster.workspace import (
    Applied,
    Conflict,
    Intake,
    Repository,
    apply_back,
    recover,
    take_in,
    user_checkout_hash,
)
from bessemer.cluster.workspace import _moves as moves

from .conftest import read, write
from .test_repository import commit

CHANGE: dict[str, str | bytes | None] = {"a.py": "a2\n", "deep/er/b.py": None, "c": None, "c/now/folder.py": "x\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write(tmp_path / "work", {"a.py": "a\n", "deep/er/b.py": "b\n", "c": "c\n", "same.py": "s\n"})
    (root / "a.py").chmod(0o600)
    return root


@pytest.fixture
async def done(root: Path, place: Path, tmp_path: Path) -> tuple[Repository, Intake, str]:
    intake = await take_in(root, place)
    repo = Repository(place)
    return repo, intake, (await commit(repo, tmp_path / "w", intake.commit, CHANGE)).commit


async def apply(root: Path, done: tuple[Repository, Intake, str]) -> Applied | Conflict:
    repo, intake, result = done
    return await apply_back(repo, intake.commit, result, root, intake.fingerprint)


async def test_everything_is_applied_and_once_is_enough(root: Path, done) -> None:  # type: ignore[no-untyped-def]
    applied = await apply(root, done)
    assert applied == Applied(written=("a.py",), added=("c/now/folder.py",), deleted=("c", "deep/er/b.py"))
    files = {name: content for name, (_, content) in read(root).items()}
    assert files == {"a.py": b"a2\n", "c/now/folder.py": b"x\n", "same.py": b"s\n"}
    assert (root / "a.py").stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in root.iterdir()) == ["a.py", "c", "same.py"]
    assert await apply(root, done) == Applied()


def _edit(root: Path) -> None:
    (root / "a.py").write_text("mine\n")


def _make_executable(root: Path) -> None:
    (root / "a.py").chmod(0o700)


def _delete(root: Path) -> None:
    (root / "a.py").unlink()


def _take_place(root: Path) -> None:
    (root / "c").unlink()
    write(root, {"c/now/folder.py": "mine"})


def _link_folder(root: Path) -> None:
    (root / "deep").rename(root / "elsewhere")
    (root / "deep").symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("touch", "path"),
    [
        (_edit, "a.py"),
        (_make_executable, "a.py"),
        (_delete, "a.py"),
        (_take_place, "c/now/folder.py"),
        (_link_folder, "deep/er/b.py"),
    ],
)
async def test_nothing_is_written_over_what_the_user_touched(root: Path, done, touch, path: str) -> None:  # type: ignore[no-untyped-def]
    touch(root)
    before = await user_checkout_hash(root)
    answer = await apply(root, done)
    assert isinstance(answer, Conflict) and path in answer.conflicts
    assert await user_checkout_hash(root) == before


async def test_another_file_the_user_touched_is_no_conflict(root: Path, done) -> None:  # type: ignore[no-untyped-def]
    write(root, {"same.py": "mine\n", "own.py": "own\n"})
    assert isinstance(await apply(root, done), Applied)
    assert (root / "same.py").read_text() == "mine\n" and (root / "own.py").exists()


async def test_a_single_file_is_written_back(root: Path, place: Path, tmp_path: Path) -> None:
    intake = await take_in(root / "a.py", place)
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"a.py": "better\n"})
    done = (repo, intake, made.commit)
    assert await apply(root / "a.py", done) == Applied(written=("a.py",))
    assert (root / "a.py").read_text() == "better\n" and (root / "c").read_text() == "c\n"


async def test_what_was_built_from_nothing_is_written_back(place: Path, tmp_path: Path) -> None:
    root = write(tmp_path / "void", {})
    root.mkdir(exist_ok=True)
    intake = await take_in(root, place, empty_ok=True)
    made = await commit(Repository(place), tmp_path / "w", intake.commit, {"pkg/new.py": "x\n"})
    done = (Repository(place), intake, made.commit)
    assert await apply(root, done) == Applied(added=("pkg/new.py",))
    assert {name: content for name, (_, content) in read(root).items()} == {"pkg/new.py": b"x\n"}


def _tree(root: Path, tmp_path: Path) -> tuple[Path, list[moves.Move]]:
    """A change of four files, prepared as `apply_back` prepares it."""
    store = root / ".bessemer" / "apply"
    write(store / "new", {"a.py": "a2\n", "c/now/folder.py": "x\n"})
    old = {name: moves.digest(root / name) for name in ("a.py", "c", "deep/er/b.py")}
    new = {name: moves.digest(store / "new" / name) for name in ("a.py", "c/now/folder.py")}
    return store, [
        moves.Move(path="a.py", action="write", old=old["a.py"], new=new["a.py"]),
        moves.Move(path="c", action="delete", old=old["c"]),
        moves.Move(path="c/now/folder.py", action="add", new=new["c/now/folder.py"]),
        moves.Move(path="deep/er/b.py", action="delete", old=old["deep/er/b.py"]),
    ]


@pytest.mark.parametrize("late", ["a.py", "c", "deep/er/b.py", "c/now/folder.py"])
async def test_a_change_made_while_applying_takes_everything_back(root: Path, tmp_path: Path, late: str) -> None:
    store, planned = _tree(root, tmp_path)
    if late == "c/now/folder.py":
        planned = [planned[0], planned[3], planned[2].model_copy(update={"path": "same.py"})]
        (store / "new" / "c" / "now" / "folder.py").rename(store / "new" / "same.py")
    else:
        (root / late).write_text("written just now\n")
    before = read(root, ".bessemer")
    with pytest.raises(moves.Touched):
        moves.move_all(root, store, planned)
    assert read(root, ".bessemer") == before


_DIE_WHILE_MOVING = """
import os, signal, sys
from pathlib import Path
from bessemer.cluster.workspace import _moves as moves
root, store, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
planned = [moves.Move.model_validate_json(line) for line in sys.stdin.read().splitlines()]
def count(event, arguments):
    global steps
    if event in ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir"):
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
moves.move_all(root, store, planned)
"""


@pytest.mark.chaos
@pytest.mark.parametrize("steps", [*range(0, 24, 4), 15, 17, 21])
async def test_a_kill_at_any_step_is_taken_back_by_the_next_call(root: Path, tmp_path: Path, done, steps: int) -> None:  # type: ignore[no-untyped-def]
    before = read(root)
    store, planned = _tree(root, tmp_path)
    lines = "\n".join(move.model_dump_json() for move in planned).encode()
    command = [sys.executable, "-c", _DIE_WHILE_MOVING, str(root), str(store), str(steps)]
    died = await asyncio.to_thread(subprocess.run, command, input=lines, timeout=60, check=False)
    if died.returncode == 0:
        assert "c/now/folder.py" in read(root)
        return
    assert died.returncode == -signal.SIGKILL
    await recover(root)
    after = read(root)
    finished = {name: value[1] for name, value in after.items() if name != "same.py"}
    assert after == before or finished == {"a.py": b"a2\n", "c/now/folder.py": b"x\n"}
    assert not store.exists()
    assert isinstance(await apply(root, done), Applied)


async def test_a_file_edited_after_a_kill_is_not_lost(root: Path, tmp_path: Path) -> None:
    store, planned = _tree(root, tmp_path)
    (store / "journal.json").write_text(moves._Journal(moves=tuple(planned)).model_dump_json())
    write(store / "old", {"a.py": "a\n"})
    (root / "a.py").write_text("edited after the kill\n")
    with pytest.raises(WorkspaceError, match=r"changed after an interrupted apply; its old version is"):
        await recover(root)
    assert (root / "a.py").read_text() == "edited after the kill\n" and (store / "old" / "a.py").exists()


async def test_one_at_a_time_and_only_where_the_source_still_is(root: Path, done, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    descriptor = os.open(root, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(StateUnwritable, match="another process is applying"):
        await apply(root, done)
    os.close(descriptor)
    with pytest.raises(DeliverableError, match="no longer exists"):
        await apply(tmp_path / "gone" / "away", done)
