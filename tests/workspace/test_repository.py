"""Worktrees, commits that come out equal, trees that can be set back, and merges."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bessemer.cluster.errors import DeliverableError, StateUnwritable, WorkspaceError
from bessemer.cluster.sandbox import SandboxPolicy
from bessemer.cluster.sandbox import run as sandboxed
from bessemer.cluster.workspace import Commit, Intake, Merge, Refused, Repository, take_in
from bessemer.cluster.workspace._paths import ESCAPES, INTO_GIT, is_junk, name_problem

from .conftest import Shell, read, write


@pytest.fixture
async def taken(checkout: Path, place: Path) -> tuple[Repository, Intake]:
    return Repository(place), await take_in(checkout, place)


async def commit(repo: Repository, folder: Path, base: str, files: dict[str, str | bytes | None]) -> Commit:
    async with repo.worktree(folder, base) as worktree:
        for name, content in files.items():
            if content is None:
                (worktree / name).unlink()
            else:
                write(worktree, {name: content})
        made = await repo.snapshot(worktree, "change", base)
    assert isinstance(made, Commit)
    return made


async def test_a_snapshot_holds_every_change(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    async with repo.worktree(tmp_path / "w", intake.commit) as worktree:
        write(worktree, {"kept.py": "x\n", "new/deep.py": "y\n", "noise2.log": "ignored", "a/__pycache__/z.pyc": ""})
        (worktree / "sub" / "inner.py").unlink()
        (worktree / "run.sh").chmod(0o644)
        made = await repo.snapshot(worktree, "all of it", intake.commit)
    assert isinstance(made, Commit)
    assert made.changed_files == ("kept.py", "new/deep.py", "run.sh", "sub/inner.py")
    assert made.left_out == ("noise2.log",)
    assert await repo.read(made.commit, "new/deep.py") == b"y\n"
    assert "sub/inner.py" not in await repo.files(made.commit)
    assert await repo.changed(intake.commit, made.commit) == list(made.changed_files)
    assert not (tmp_path / "w").exists() and list((repo.path / "worktrees").iterdir()) == []


async def test_equal_changes_make_equal_commits(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    first = await commit(repo, tmp_path / "one", intake.commit, {"kept.py": "x\n"})
    await asyncio.sleep(1.1)
    assert await commit(repo, tmp_path / "two", intake.commit, {"kept.py": "x\n"}) == first
    other = await commit(repo, tmp_path / "two", intake.commit, {"kept.py": "y\n"})
    assert other.commit != first.commit


async def test_eight_worktrees_work_at_once(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    made = await asyncio.gather(
        *(commit(repo, tmp_path / str(n) / "candidate", intake.commit, {f"f{n}.py": f"{n}\n"}) for n in range(8))
    )
    assert [one.changed_files for one in made] == [(f"f{n}.py",) for n in range(8)]
    total = made[0].commit
    for one in made[1:]:
        merged = await repo.merge(intake.commit, total, one.commit)
        assert merged.clean
        total = merged.commit
    assert {f"f{n}.py" for n in range(8)} <= set(await repo.files(total))


async def test_a_worktree_is_one_to_git_too(taken: tuple[Repository, Intake], tmp_path: Path, git: Shell) -> None:
    repo, intake = taken
    async with repo.worktree(tmp_path / "w", intake.commit) as worktree:
        assert git(worktree, "status", "--porcelain") == ""
        assert git(worktree, "rev-parse", "HEAD").strip() == intake.commit
        assert f"{worktree} {intake.commit[:7]}" in " ".join(git(repo.path, "worktree", "list").split())
        write(worktree, {"kept.py": "x\n"})
        assert git(worktree, "status", "--porcelain").split() == ["M", "kept.py"]


async def test_a_tree_hash_sees_every_change_and_restore_undoes_it(
    taken: tuple[Repository, Intake], tmp_path: Path
) -> None:
    repo, intake = taken
    async with repo.worktree(tmp_path / "w", intake.commit) as worktree:
        assert await repo.tree_hash(worktree) == intake.tree
        write(worktree, {"noise.log": "seen by later commands", "n/.git/HEAD": "x", "n/f": "f", "kept.py": "same size"})
        (worktree / "link").symlink_to("kept.py")
        (worktree / "sub" / "inner.py").unlink()
        (worktree / "sub").rmdir()
        (worktree / "sub").write_text("now a file")
        later, files = await repo.tree_hash(worktree), read(worktree)
        assert later != intake.tree
        await repo.restore(worktree, intake.commit)
        assert await repo.tree_hash(worktree) == intake.tree
        await repo.restore(worktree, later)
        assert read(worktree) == {name: value for name, value in files.items() if name != "n/.git/HEAD"}
        assert await repo.tree_hash(worktree) == later


async def test_a_change_with_old_times_and_size_is_still_seen(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    async with repo.worktree(tmp_path / "w", intake.commit) as worktree:
        status = (worktree / "kept.py").stat()
        (worktree / "kept.py").write_text("tpek\n")
        os.utime(worktree / "kept.py", ns=(status.st_atime_ns, status.st_mtime_ns))
        assert await repo.tree_hash(worktree) != intake.tree


async def test_tracked_caches_and_ignored_files_are_not_lost(tmp_path: Path, place: Path, git: Shell) -> None:
    root = write(tmp_path / "p", {"node_modules/own.js": "1", "kept.log": "1", ".gitignore": "*.log\n"})
    git(root, "init", "-q")
    git(root, "add", "-Af")
    intake = await take_in(root, place)
    assert "node_modules/own.js" in intake.files and "kept.log" in intake.files
    repo = Repository(place)
    made = await commit(repo, tmp_path / "w", intake.commit, {"kept.log": "2", "node_modules/own.js": "2"})
    assert made.changed_files == ("kept.log", "node_modules/own.js")


def _link_out(worktree: Path) -> None:
    (worktree / "odd").symlink_to("/etc")


def _link_up(worktree: Path) -> None:
    (worktree / "odd").symlink_to("../../x")


def _link_into_git(worktree: Path) -> None:
    (worktree / "odd").symlink_to(".git")


def _link_below_git(worktree: Path) -> None:
    write(worktree, {"deep/a": "a"})
    (worktree / "deep" / "odd").symlink_to("../.git/config")


def _nested(worktree: Path) -> None:
    write(worktree, {"odd/.git/HEAD": "x"})


def _pipe(worktree: Path) -> None:
    os.mkfifo(worktree / "odd")


def _big(worktree: Path) -> None:
    write(worktree, {"odd": b"x" * 5000})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_link_out, "outside"),
        (_link_up, "outside"),
        (_link_into_git, "git's own files"),
        (_link_below_git, "git's own files"),
        (_nested, "git repo"),
        (_pipe, "FIFO"),
        (_big, "allowed"),
    ],
)
async def test_a_worktree_that_leads_out_is_refused(taken, tmp_path: Path, spoil, reason: str) -> None:  # type: ignore[no-untyped-def]
    repo, intake = Repository(taken[0].path, max_file_bytes=4000), taken[1]
    async with repo.worktree(tmp_path / "w", intake.commit) as worktree:
        spoil(worktree)
        answer = await repo.snapshot(worktree, "m", intake.commit)
    assert isinstance(answer, Refused)
    assert reason in answer.message and "odd" in answer.message


async def test_a_link_to_git_lets_no_command_into_the_repository(
    taken: tuple[Repository, Intake], tmp_path: Path
) -> None:
    repo, intake = taken
    async with repo.worktree(tmp_path / "w", intake.commit) as worktree:
        (worktree / "g").symlink_to(".git")
        (worktree / "there").symlink_to(repo.path)
        before = read(repo.path)
        words = "cat there/HEAD there/config g/HEAD g/config; echo bent > there/config; echo bent > there/hooks/x"
        ended = await sandboxed(words, SandboxPolicy(workspace=str(worktree)))
        assert "ref:" not in ended.stdout and "[core]" not in ended.stdout
        assert read(repo.path) == before
        answer = await repo.snapshot(worktree, "m", intake.commit)
    assert isinstance(answer, Refused)
    assert {(refusal.path, refusal.reason) for refusal in answer.paths} == {("g", INTO_GIT), ("there", ESCAPES)}


async def test_a_builder_cannot_bend_git(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    (tmp_path / "evil").mkdir()
    async with repo.worktree(tmp_path / "w", intake.commit) as worktree:
        (worktree / ".git").unlink()
        config = f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = touch {tmp_path}/ran\n\tworktree = /\n"
        write(worktree, {".git/config": config, ".git/HEAD": "ref: refs/heads/x\n", "kept.py": "good\n"})
        write(worktree, {".gitattributes": "* filter=evil diff=evil\n"})
        (worktree / "sub").chmod(0o000)
        (worktree / "modified.py").chmod(0o000)
        assert await repo.tree_hash(worktree) != intake.tree
        made = await repo.snapshot(worktree, "m", intake.commit)
    assert isinstance(made, Commit) and made.changed_files == (".gitattributes", "kept.py")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "w").exists()


async def test_a_file_too_large_to_record_says_so(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo = Repository(taken[0].path, max_file_bytes=100)
    async with repo.worktree(tmp_path / "w", taken[1].commit) as worktree:
        write(worktree, {"big": b"x" * 101})
        with pytest.raises(DeliverableError, match=r"big.*allowed"):
            await repo.tree_hash(worktree)


async def test_disagreeing_changes_are_conflicts_by_path(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    ours = await commit(repo, tmp_path / "w", intake.commit, {"kept.py": "ours\n", "modified.py": "m\n"})
    theirs = await commit(repo, tmp_path / "w", intake.commit, {"kept.py": "theirs\n", "sub/inner.py": None})
    assert await repo.merge(intake.commit, ours.commit, theirs.commit) == Merge(conflicts=("kept.py",))
    same = await repo.merge(intake.commit, ours.commit, intake.commit)
    assert same == Merge(commit=ours.commit, tree=ours.tree)
    other = await commit(repo, tmp_path / "w", intake.commit, {"sub/inner.py": "i\n"})
    one, two = [await repo.merge(intake.commit, ours.commit, other.commit) for _ in range(2)]
    assert one == two and one.clean
    assert await repo.read(one.commit, "sub/inner.py") == b"i\n" and await repo.read(one.commit, "kept.py") == b"ours\n"


async def test_a_diff_is_bounded_and_a_missing_file_named(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    made = await commit(repo, tmp_path / "w", intake.commit, {"kept.py": "line\n" * 5000})
    assert "+line" in await repo.diff(intake.commit, made.commit)
    cut = await repo.diff(intake.commit, made.commit, limit=1000)
    assert len(cut) < 1100 and cut.endswith("[diff cut at 1000 bytes]\n")
    with pytest.raises(DeliverableError, match=r"'nothing\.py' is no file of commit"):
        await repo.read(made.commit, "nothing.py")


async def test_an_exported_tree_is_whole_and_replaced_only_when_asked(
    taken: tuple[Repository, Intake], tmp_path: Path
) -> None:
    repo, intake = taken
    made = await commit(repo, tmp_path / "w", intake.commit, {"kept.py": "x\n"})
    await repo.export_tree(intake.commit, tmp_path / "out")
    with pytest.raises(StateUnwritable, match="is not empty"):
        await repo.export_tree(made.commit, tmp_path / "out")
    await repo.export_tree(made.commit, tmp_path / "out", replace=True)
    assert read(tmp_path / "out")["kept.py"] == (0, b"x\n")
    assert not list(tmp_path.glob(".out*"))


_DIE_IN_A_WORKTREE = """
import asyncio, os, signal, sys
from pathlib import Path
from bessemer.cluster.workspace import Repository
async def main():
    repo = Repository(Path(sys.argv[1]))
    async with repo.worktree(Path(sys.argv[2]), sys.argv[3]) as worktree:
        (worktree / "half.py").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_a_killed_process_leaves_nothing_in_the_way(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    repo, intake = taken
    folder = tmp_path / "w"
    command = [sys.executable, "-c", _DIE_IN_A_WORKTREE, str(repo.path), str(folder), intake.commit]
    died = await asyncio.to_thread(subprocess.run, command, timeout=60, check=False)
    assert died.returncode == -9 and (folder / "half.py").exists()
    async with repo.worktree(folder, intake.commit) as worktree:
        assert not (worktree / "half.py").exists()
        assert await repo.tree_hash(worktree) == intake.tree
    await repo.prune()
    write(folder, {"mine": "not a worktree"})
    with pytest.raises(StateUnwritable, match="is not a worktree of this run"):
        async with repo.worktree(folder, intake.commit):
            pass
    assert (folder / "mine").exists()


async def test_a_folder_that_is_no_worktree_is_refused(taken: tuple[Repository, Intake], tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="is not a worktree of"):
        await taken[0].tree_hash(tmp_path)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: (
        name not in (".", "..", ".env", ".gitignore", "pyvenv.cfg")
        and name_problem(name) is None
        and not any(is_junk(name, folder=folder) for folder in (True, False))
    )
)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=64), st.booleans()),
    min_size=1,
    max_size=6,
)


def grow(root: Path, tree: dict[str, tuple[bytes, bool]]) -> Path:
    root.mkdir(parents=True)
    for name, (content, runs) in tree.items():
        place = root / name
        try:
            write(root, {name: content})
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
        place.chmod(0o755 if runs else 0o644)
    return root


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TREES, after=TREES)
def test_any_tree_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory,
    before: dict[str, tuple[bytes, bool]],
    after: dict[str, tuple[bytes, bool]],
) -> None:
    async def there_and_back(home: Path) -> None:
        one, two = grow(home / "one", before), grow(home / "two", after)
        intake = await take_in(one, home / "repository")
        repo = Repository(home / "repository")
        async with repo.worktree(home / "w", intake.commit) as worktree:
            assert read(worktree) == read(one)
            tree = (await take_in(two, home / "other")).tree
            for name in read(worktree):
                (worktree / name).unlink()
            subprocess.run(["cp", "-a", f"{two}/.", str(worktree)], check=True)
            for folder, _, _ in os.walk(worktree, topdown=False):
                if folder != str(worktree) and not any(Path(folder).iterdir()):
                    Path(folder).rmdir()
            made = await repo.snapshot(worktree, "m", intake.commit)
        assert isinstance(made, Commit) and made.tree == tree
        await repo.export_tree(made.commit, home / "out")
        assert read(home / "out") == read(two)

    asyncio.run(there_and_back(tmp_path_factory.mktemp("trees")))
