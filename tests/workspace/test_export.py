"""A result leaves as a folder, a patch or a branch, and the user's checkout stays what it was."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bessemer.cluster.errors import UsageError, WorkspaceError
from bessemer.cluster.workspace import (
    Intake,
    Repository,
    export_branch,
    export_files,
    export_patch,
    export_to,
    take_in,
    user_checkout_hash,
)

from .conftest import Shell, read, write
from .test_repository import commit

CHANGE: dict[str, str | bytes | None] = {
    "kept.py": "kept\nand more\n",
    "modified.py": "after\nand more\n",
    "sub/inner.py": None,
    "new/file.bin": b"\0\1\2",
    "we ird\u00e9\n.txt": "odd\n",
}


@pytest.fixture
async def done(checkout: Path, place: Path, tmp_path: Path) -> tuple[Repository, Intake, str]:
    """A finished run: its repository, what was taken in, and the result's commit."""
    intake = await take_in(checkout, place)
    repo = Repository(place)
    return repo, intake, (await commit(repo, tmp_path / "w", intake.commit, CHANGE)).commit


def result_of(checkout: Path, change: dict[str, str | bytes | None] = CHANGE) -> dict[str, tuple[int, bytes]]:
    files = read(checkout, "noise.log", "build")
    for name, content in change.items():
        if content is None:
            del files[name]
        else:
            files[name] = (0, content.encode() if isinstance(content, str) else content)
    return files


async def test_a_folder_holds_the_whole_result(checkout: Path, done, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    repo, intake, result = done
    before = await user_checkout_hash(checkout)
    exported = await export_to(repo, result, intake.commit, tmp_path / "deep" / "out")
    assert read(tmp_path / "deep" / "out") == result_of(checkout)
    assert set(exported.changed) == set(CHANGE)
    with pytest.raises(UsageError, match="is not an empty folder"):
        await export_to(repo, result, intake.commit, tmp_path / "deep" / "out")
    assert await user_checkout_hash(checkout) == before


@pytest.mark.parametrize("start", ["", "sub"])
async def test_a_patch_applies_where_the_work_stood(checkout: Path, done, tmp_path: Path, git: Shell, start) -> None:  # type: ignore[no-untyped-def]
    repo, intake, result = done
    before = await user_checkout_hash(checkout)
    await export_patch(repo, intake.commit, result, tmp_path / "result.patch")
    assert await user_checkout_hash(checkout) == before
    with pytest.raises(UsageError, match=r"result\.patch' exists"):
        await export_patch(repo, intake.commit, result, tmp_path / "result.patch")
    with pytest.raises(UsageError, match="changed nothing"):
        await export_patch(repo, intake.commit, intake.commit, tmp_path / "other.patch")
    expected = result_of(checkout)
    git(checkout, "apply", str(tmp_path / "result.patch"))
    assert read(checkout, "noise.log", "build") == expected


async def test_a_patch_of_one_folder_applies_in_its_checkout(
    checkout: Path, place: Path, tmp_path: Path, git: Shell
) -> None:
    intake = await take_in(checkout / "sub", place)
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"inner.py": "changed\n", "more.py": "more\n"})
    await export_patch(repo, intake.commit, made.commit, tmp_path / "p")
    git(checkout / "sub", "apply", str(tmp_path / "p"))
    assert (checkout / "sub" / "inner.py").read_text() == "changed\n" and (checkout / "sub" / "more.py").exists()


async def test_a_patch_of_a_plain_folder_applies_there(tmp_path: Path, place: Path, git: Shell) -> None:
    root = write(tmp_path / "plain", {"dos.txt": "a\r\nb\r\n", "gone": "x"})
    intake = await take_in(root, place)
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"dos.txt": "a\r\nc\r\n", "gone": None})
    await export_patch(repo, intake.commit, made.commit, tmp_path / "p")
    git(root, "apply", str(tmp_path / "p"))
    assert read(root) == {"dos.txt": (0, b"a\r\nc\r\n")}


async def test_a_branch_is_one_commit_on_the_recorded_head(checkout: Path, done, git: Shell) -> None:  # type: ignore[no-untyped-def]
    repo, intake, result = done
    expected = result_of(checkout)
    before = {name: value for name, value in read(checkout / ".git").items() if not name.startswith("objects/")}
    work = read(checkout)
    exported = await export_branch(repo, result, checkout, "bessemer/r1")
    after = {name: value for name, value in read(checkout / ".git").items() if not name.startswith("objects/")}
    assert set(after) - set(before) == {"refs/heads/bessemer/r1"} and before.items() <= after.items()
    assert read(checkout) == work
    assert git(checkout, "rev-parse", "bessemer/r1^").strip() == intake.source_head
    assert "Holds uncommitted changes" in git(checkout, "log", "-1", "--format=%B", "bessemer/r1")
    assert "deleted.py" in exported.message
    git(checkout, "fsck", "--strict")
    git(checkout, "stash", "-u", "-q")
    git(checkout, "checkout", "-q", "bessemer/r1")
    assert read(checkout, "noise.log", "build") == expected


async def test_a_branch_is_refused_where_it_cannot_be_made(checkout: Path, done, git: Shell, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    repo, _, result = done
    git(checkout, "branch", "taken")
    before = await user_checkout_hash(checkout)
    for branch, reason in {"taken": "exists", "main": "exists", "a..b": "no name", "-x": "no name"}.items():
        with pytest.raises(UsageError, match=reason):
            await export_branch(repo, result, checkout, branch)
    with pytest.raises(UsageError, match="no git checkout"):
        await export_branch(repo, result, tmp_path, "fine")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    with pytest.raises(UsageError, match="is no longer in"):
        await export_branch(repo, result, other, "fine")
    assert await user_checkout_hash(checkout) == before
    with pytest.raises(UsageError, match="could not be created"):
        await export_branch(repo, result, checkout, "taken/inner")


async def test_a_branch_from_one_folder_leaves_the_rest_of_head_alone(
    checkout: Path, place: Path, tmp_path: Path, git: Shell
) -> None:
    intake = await take_in(checkout / "sub", place)
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"inner.py": "changed\n"})
    before = read(checkout)
    exported = await export_branch(repo, made.commit, checkout / "sub", "x")
    assert read(checkout) == before and not (checkout / "sub" / ".git").exists()
    assert git(checkout, "diff", "--name-only", "HEAD", "x").split() == ["sub/inner.py"]
    assert "uncommitted" not in exported.message


async def test_a_branch_keeps_the_repositorys_line_ends(tmp_path: Path, place: Path, git: Shell) -> None:
    root = write(tmp_path / "p", {".gitattributes": "*.txt text eol=crlf\n", "a.txt": "1\r\n2\r\n", "b.txt": "1\r\n"})
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    intake = await take_in(root, place)
    assert intake.uncommitted == ()
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"a.txt": "1\r\n3\r\n"})
    await export_branch(repo, made.commit, root, "x")
    assert git(root, "diff", "--stat", "HEAD", "x", "--numstat").split()[:3] == ["1", "1", "a.txt"]
    await export_patch(repo, intake.commit, made.commit, tmp_path / "patch")
    git(root, "apply", str(tmp_path / "patch"))
    assert (root / "a.txt").read_bytes() == b"1\r\n3\r\n"


async def test_files_that_pass_a_filter_are_not_put_on_a_branch(tmp_path: Path, place: Path, git: Shell) -> None:
    root = write(tmp_path / "p", {".gitattributes": "*.big filter=lfs\n", "a.big": "1", "b": "1"})
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    intake = await take_in(root, place)
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"a.big": "2"})
    with pytest.raises(UsageError, match=r"'a\.big' passes through the git filter 'lfs'"):
        await export_branch(repo, made.commit, root, "x")
    made = await commit(repo, tmp_path / "w", intake.commit, {"b": "2"})
    await export_branch(repo, made.commit, root, "x")


async def test_a_branch_before_the_first_commit_and_with_other_hashes(tmp_path: Path, place: Path, git: Shell) -> None:
    root = write(tmp_path / "p", {"a": "1"})
    git(root, "init", "-q", "--object-format=sha256", "-b", "main")
    intake = await take_in(root, place)
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"b": "2"})
    with pytest.raises(UsageError, match="exists"):
        await export_branch(repo, made.commit, root, "main")
    await export_branch(repo, made.commit, root, "x", when=1_700_000_000)
    assert git(root, "ls-tree", "-r", "--name-only", "x").split() == ["a", "b"]
    assert git(root, "log", "-1", "--format=%at", "x").strip() == "1700000000"


async def test_a_plain_folder_has_no_branch(tmp_path: Path, place: Path) -> None:
    intake = await take_in(write(tmp_path / "p", {"a": "1"}), place)
    with pytest.raises(UsageError, match="was no git checkout"):
        await export_branch(Repository(place), intake.commit, tmp_path / "p", "x")


async def test_six_runs_at_once_leave_the_checkout_alone(checkout: Path, tmp_path: Path) -> None:
    before = await user_checkout_hash(checkout)

    async def one(number: int) -> None:
        home = tmp_path / "state" / "runs" / str(number)
        intake = await take_in(checkout, home / "repository")
        repo = Repository(home / "repository")
        made = await commit(repo, home / "w", intake.commit, CHANGE)
        await export_to(repo, made.commit, intake.commit, tmp_path / f"out{number}")

    await asyncio.gather(*(one(number) for number in range(6)))
    assert await user_checkout_hash(checkout) == before
    assert all(read(tmp_path / f"out{number}") == result_of(checkout) for number in range(6))


async def test_files_without_a_history_leave_whole_or_not_at_all(tmp_path: Path) -> None:
    one, link = tmp_path / "one.md", tmp_path / "link"
    one.write_text("one\n")
    link.symlink_to("one.md")
    out = tmp_path / "deep" / "out"
    exported = await export_files({"result.md": one, "part/link": link}, out)
    assert exported.changed == ("part/link", "result.md")
    assert (out / "result.md").read_text() == "one\n"
    assert (out / "part" / "link").readlink() == Path("one.md")
    with pytest.raises(UsageError, match="is not an empty folder"):
        await export_files({"result.md": one}, out)
    with pytest.raises(WorkspaceError, match="lost"):
        await export_files({"first.md": one, "lost.md": tmp_path / "lost"}, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "link", "one.md"]
