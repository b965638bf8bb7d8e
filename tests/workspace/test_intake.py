"""What the user sees goes in, byte for byte; nothing of theirs is touched; what cannot go in is refused in one line."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bessemer.cluster.errors import DeliverableError, StateUnwritable, WorkspaceError
from bessemer.cluster.workspace import IntakeLimits, Repository, read_intake, take_in, user_checkout_hash

from .conftest import Shell, read, write


async def exported(place: Path, commit: str, target: Path) -> dict[str, tuple[int, bytes]]:
    await Repository(place).export_tree(commit, target)
    return read(target)


async def test_a_checkout_goes_in_as_its_user_sees_it(checkout: Path, place: Path, tmp_path: Path, git: Shell) -> None:
    before = await user_checkout_hash(checkout)
    intake = await take_in(checkout, place)
    assert await user_checkout_hash(checkout) == before
    expected = read(checkout, "noise.log", "build")
    assert await exported(place, intake.commit, tmp_path / "out") == expected
    assert intake.files == tuple(sorted(expected)) and intake.source_is_git
    assert intake.source_head == git(checkout, "rev-parse", "HEAD").strip()
    assert set(intake.uncommitted) == {"modified.py", "staged.py", "deleted.py", "fresh.py", "run.sh"}
    assert intake.deleted == ("deleted.py",)
    assert intake.fingerprint["modified.py"] == hashlib.sha256(b"after\n").hexdigest()
    git(place, "fsck", "--strict")


async def test_one_folder_of_a_larger_checkout_goes_in_alone(checkout: Path, place: Path) -> None:
    intake = await take_in(checkout / "sub", place)
    assert intake.files == ("inner.py",) and intake.prefix == "sub/" and intake.uncommitted == ()


async def test_a_plain_folder_goes_in_without_what_tools_left(tmp_path: Path, place: Path) -> None:
    root = write(
        tmp_path / "plain",
        {
            "a.txt": "a",
            "deep/er/b.bin": b"\0\1\2",
            ".venv/x": "",
            "node_modules/y/z": "",
            "p/__pycache__/c.pyc": "",
            ".bessemer/ledger.db": "",
            "env/pyvenv.cfg": "",
            "env/lib/q.py": "",
            ".env": "KEY=secret",
        },
    )
    intake = await take_in(root, place)
    assert intake.files == ("a.txt", "deep/er/b.bin") and not intake.source_is_git and intake.source_head is None
    assert intake.left_out == (".bessemer", ".env", ".venv", "env", "node_modules", "p/__pycache__")


async def test_keys_and_caches_that_git_does_not_track_stay_out(checkout: Path, place: Path, git: Shell) -> None:
    write(checkout, {".env": "KEY=1", "pkg/__pycache__/m.pyc": "", ".bessemer/config.yaml": "x: 1"})
    git(checkout, "add", "-f", ".bessemer/config.yaml")
    intake = await take_in(checkout, place)
    assert intake.left_out == (".bessemer", ".env", "pkg/__pycache__")
    assert not any("bessemer" in path or "env" in path for path in intake.files)


async def test_a_single_file_goes_in_alone(checkout: Path, place: Path, tmp_path: Path) -> None:
    intake = await take_in(checkout / "sub" / "inner.py", place)
    assert intake.files == ("inner.py",) and intake.single_file and intake.prefix == "sub/"
    lone = await take_in(write(tmp_path / "lone", {"essay.md": "words"}) / "essay.md", tmp_path / "two" / "repository")
    assert lone.files == ("essay.md",) and not lone.source_is_git


async def test_an_ignored_folder_named_outright_goes_in_as_a_plain_one(checkout: Path, place: Path) -> None:
    intake = await take_in(checkout / "build", place)
    assert intake.files == ("o",) and not intake.source_is_git


async def test_the_users_own_ignore_file_counts(
    checkout: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(tmp_path / "home", {".gitconfig": "[core]\n\texcludesFile = ~/mine\n", "mine": "fresh.py\n"})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    assert "fresh.py" not in (await take_in(checkout, place)).files


async def test_the_state_directory_stays_out_wherever_it_lies(tmp_path: Path) -> None:
    root = write(tmp_path / "plain", {"a.txt": "a", "state/runs/old/x": "x", "other/y": "y"})
    place = root / "state" / "runs" / "r1" / "repository"
    assert (await take_in(root, place, exclude=[root / "other"])).files == ("a.txt",)


async def test_strange_names_survive(tmp_path: Path, place: Path, git: Shell) -> None:
    names = [
        "new\nline",
        "-dash",
        "sp ace",
        "caf\u00e9",
        "cafe\u0301",
        'quo"te',
        "back\\slash",
        ":colon",
        "*",
        "\x01ctl",
    ]
    for kind in ("plain", "git"):
        root = write(tmp_path / kind, {name: name for name in [*names, *(f"dir {n}/f" for n in names)]})
        if kind == "git":
            git(root, "init", "-q")
            git(root, "add", "-A")
        repository = place / kind
        intake = await take_in(root, repository)
        assert await exported(repository, intake.commit, tmp_path / f"out-{kind}") == read(root)


async def test_links_inside_and_modes_are_kept(tmp_path: Path, place: Path) -> None:
    root = write(tmp_path / "plain", {"real/a": "a", "tool": "x"})
    (root / "tool").chmod(0o755)
    (root / "link").symlink_to("real/a")
    (root / "real" / "up").symlink_to("../tool")
    (root / "folder").symlink_to("real")
    (root / "dangling").symlink_to("./nowhere//x")
    intake = await take_in(root, place)
    assert await exported(place, intake.commit, tmp_path / "out") == read(root)


async def test_no_attribute_changes_a_byte(tmp_path: Path, place: Path, git: Shell) -> None:
    root = write(
        tmp_path / "plain",
        {
            ".gitattributes": "* text=auto eol=crlf ident working-tree-encoding=UTF-16\n*.x filter=f\n",
            "dos.txt": "a\r\nb\r\n",
            "unix.txt": "a\nb\n$Id$\n",
            "f.x": "x",
        },
    )
    intake = await take_in(root, place)
    repository = Repository(place)
    async with repository.worktree(tmp_path / "w", intake.commit) as worktree:
        assert read(worktree) == read(root)
        assert await repository.tree_hash(worktree) == intake.tree


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", "sub/l1/.."])
@pytest.mark.parametrize("in_git", [True, False])
async def test_links_that_lead_outside_are_refused(
    tmp_path: Path, place: Path, git: Shell, target: str, in_git: bool
) -> None:
    root = write(tmp_path / "plain", {"sub/a": "a"})
    (root / "sub" / "l1").symlink_to("..")
    (root / "bad").symlink_to(target)
    if in_git:
        git(root, "init", "-q")
    with pytest.raises(DeliverableError, match=r"'.*bad' is a symbolic link that leads outside; replace"):
        await take_in(root, place)
    assert list(place.parent.glob("*")) == []


@pytest.mark.parametrize("target", [".git", ".git/config", "./sub/../.GIT/hooks", "sub/up/.git/config", "git~1/config"])
@pytest.mark.parametrize("in_git", [True, False])
async def test_links_into_git_are_refused(tmp_path: Path, place: Path, git: Shell, target: str, in_git: bool) -> None:
    root = write(tmp_path / "plain", {"sub/a": "a"})
    (root / "sub" / "up").symlink_to("..")
    (root / "bad").symlink_to(target)
    if in_git:
        git(root, "init", "-q")
    with pytest.raises(DeliverableError, match=r"'.*bad' is a symbolic link into git's own files; remove"):
        await take_in(root, place)
    assert list(place.parent.glob("*")) == []


async def test_a_link_that_only_bends_into_git_is_refused(tmp_path: Path, place: Path, git: Shell) -> None:
    root = write(tmp_path / "plain", {"sub/a": "a", ".gitignore": "hidden\n"})
    git(root, "init", "-q")
    (root / "hidden").symlink_to(".git")
    (root / "bad").symlink_to("hidden/config")
    with pytest.raises(DeliverableError, match=r"'.*bad' is a symbolic link into git's own files"):
        await take_in(root, place)


async def test_a_name_that_only_looks_like_gits_is_taken(tmp_path: Path, place: Path) -> None:
    root = write(tmp_path / "plain", {".github/a": "a", "x.git/b": "b"})
    (root / "one").symlink_to(".github/a")
    (root / "two").symlink_to("x.git/b")
    assert {"one", "two"} <= set((await take_in(root, place)).files)


def _fifo(root: Path) -> None:
    os.mkfifo(root / "odd")


def _socket(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(root)
        one.bind("odd")
        os.chdir(here)


def _nested(root: Path) -> None:
    write(root, {"odd/.git/HEAD": "ref: refs/heads/main\n"})


def _pointer(root: Path) -> None:
    write(root, {"odd": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"})


def _large(root: Path) -> None:
    write(root, {"odd": b"x" * 2001})


def _not_utf8(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/odd\xff")).write_text("x")


def _alias(root: Path) -> None:
    write(root, {"odd/GIT~1": "x"})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_fifo, "FIFO"),
        (_socket, "socket"),
        (_nested, "git repository inside"),
        (_pointer, "git lfs pull"),
        (_large, "0.0 MB are allowed"),
        (_not_utf8, "not UTF-8"),
        (_alias, "keeps for itself"),
    ],
)
async def test_what_cannot_be_taken_is_named_with_its_remedy(tmp_path: Path, place: Path, spoil, reason) -> None:  # type: ignore[no-untyped-def]
    root = write(tmp_path / "plain", {"a": "a"})
    spoil(root)
    with pytest.raises(DeliverableError, match=reason) as caught:
        await take_in(root, place, limits=IntakeLimits(max_file_bytes=2000))
    assert "odd" in caught.value.message and "\n" not in caught.value.message and ";" in caught.value.message
    assert not place.exists()


async def test_submodules_and_nested_repositories_of_a_checkout_are_refused(
    checkout: Path, place: Path, git: Shell, tmp_path: Path
) -> None:
    git(checkout, "clone", "-q", ".", "nested")
    with pytest.raises(DeliverableError, match=r"nested.* is a git repository inside"):
        await take_in(checkout, place)
    git(checkout, "add", "nested")
    with pytest.raises(DeliverableError, match="'nested' is a git submodule"):
        await take_in(checkout, place)


async def test_a_source_that_is_nothing_is_refused(tmp_path: Path, place: Path, git: Shell) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path, {"image.png": b"\x89PNG\0\0", "broken/.git": "gitdir: /nowhere\n", "broken/a": "a"})
    (tmp_path / "bare").mkdir()
    git(tmp_path / "bare", "init", "-q", "--bare")
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in {
        "missing": "does not exist",
        "empty": "holds no files",
        "image.png": "is a binary file",
        "broken": "git cannot read",
        "bare": "name a checkout",
        "loop": "leads nowhere",
    }.items():
        with pytest.raises(DeliverableError, match=reason):
            await take_in(tmp_path / name, place)


async def test_a_folder_that_is_only_read_is_taken_as_far_as_it_goes(tmp_path: Path, place: Path, git: Shell) -> None:
    (tmp_path / "plain").mkdir()
    empty = await take_in(tmp_path / "plain", tmp_path / "other", empty_ok=True)
    assert await exported(tmp_path / "other", empty.commit, tmp_path / "nothing") == {} == empty.fingerprint
    root = write(tmp_path / "plain", {"a": "a", "inner/b": "b", ".env": "KEY=1", "large": "x" * 3000})
    git(root / "inner", "init", "-q")
    (root / "away").symlink_to("/etc/hostname")
    os.mkfifo(root / "pipe")
    intake = await take_in(root, place, limits=IntakeLimits(max_file_bytes=2000), lenient=True)
    assert intake.files == ("a", "inner/b")
    assert set(intake.left_out) == {".env", "away", "inner/.git", "large", "pipe"}


async def test_too_much_is_refused(tmp_path: Path, place: Path) -> None:
    root = write(tmp_path / "plain", {"a": "a" * 60, "b": "b" * 60})
    with pytest.raises(DeliverableError, match="2 files and 1 are allowed"):
        await take_in(root, place, limits=IntakeLimits(max_files=1))
    with pytest.raises(DeliverableError, match="more than 0 MB"):
        await take_in(root, place, limits=IntakeLimits(max_total_bytes=100))


async def test_taking_in_again_gives_the_same_and_a_resumed_run_the_first(checkout: Path, place: Path) -> None:
    first = await take_in(checkout, place)
    assert await take_in(checkout, place) == first == read_intake(place)
    write(checkout, {"kept.py": "changed meanwhile\n"})
    assert await take_in(checkout, place, existing_ok=True) == first
    with pytest.raises(DeliverableError, match="already holds other work"):
        await take_in(checkout, place)


async def test_equal_work_has_equal_commits(tmp_path: Path) -> None:
    commits = set()
    for name in ("one", "two"):
        root = write(tmp_path / name, {"a": "a", "b/c": "c"})
        commits.add((await take_in(root, tmp_path / f"{name}-repository")).commit)
    assert len(commits) == 1


async def test_what_a_killed_intake_left_is_cleared(checkout: Path, place: Path) -> None:
    stale = place.parent / ".repository.partial-999999999-0"
    write(stale, {"objects/x": "x"})
    await take_in(checkout, place)
    assert [entry.name for entry in place.parent.iterdir()] == ["repository"]


async def test_a_damaged_record_and_a_place_that_takes_nothing_say_so(
    checkout: Path, place: Path, tmp_path: Path
) -> None:
    await take_in(checkout, place)
    (place / "intake.json").write_text("{")
    with pytest.raises(WorkspaceError, match="missing or damaged"):
        await take_in(checkout, place, existing_ok=True)
    with pytest.raises(StateUnwritable, match=r"kept\.py"):
        await take_in(checkout, checkout / "kept.py" / "repository")


async def test_a_deadline_holds(checkout: Path, place: Path) -> None:
    with pytest.raises(WorkspaceError, match="took longer than"):
        await take_in(checkout, place, limits=IntakeLimits(timeout=0.0001))
    assert not place.exists()


_DIE_WHILE_TAKING = """
import asyncio, os, signal, sys
from pathlib import Path
from bessemer.cluster.workspace import take_in
steps = int(sys.argv[3])
def count(event, arguments):
    global steps
    if event in ("subprocess.Popen", "os.rename", "os.mkdir", "os.remove"):
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
asyncio.run(take_in(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.chaos
@pytest.mark.parametrize("steps", [8, 12, 16, 18])
async def test_an_intake_killed_anywhere_can_be_done_again(
    checkout: Path, place: Path, tmp_path: Path, steps: int
) -> None:
    before = await user_checkout_hash(checkout)
    command = [sys.executable, "-c", _DIE_WHILE_TAKING, str(checkout), str(place), str(steps)]
    died = await asyncio.to_thread(subprocess.run, command, timeout=60, check=False)
    assert died.returncode in (0, -9)
    intake = await take_in(checkout, place, existing_ok=True)
    assert intake.commit == (await take_in(checkout, tmp_path / "other" / "repository")).commit
    assert [entry.name for entry in place.parent.iterdir()] == ["repository"]
    assert await user_checkout_hash(checkout) == before
