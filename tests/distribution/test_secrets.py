"""The secret scanner on real repositories: what it stops, what it lets through, and that it never shows a secret."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCANNER = ROOT / "scripts" / "scan_secrets.py"
# Put together here, so that this file holds no secret itself.
SECRETS = {
    "Anthropic key": "sk-" + "ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2",
    "OpenAI key": "sk-" + "proj-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5",
    "Google key": "AI" + "zaSyA1234567890abcdefghijklmnopqrstuv",
    "xAI key": "xai-" + "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5",
    "GitHub token": "gh" + "p_0123456789abcdefghijABCDEFGHIJ012345",
    "AWS key id": "AK" + "IAIOSFODNN7EXAMPLE",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a secret assigned to a name": "pass" + 'word = "gK9x2LmQ7vT4pR8sW1zY"',
}
HARMLESS = [
    "password = input('password: ')",
    "token_limit = 4096",
    "API_KEY_VARIABLE = 'ANTHROPIC_API_KEY'",
    "sk-learn and task-force-one-two-three-four",
    'secret_path = "cluster/ledger/operations.py"',
    "    --hash=sha256:065665c041c42a5938ed220bdcd7230f22527fbec085e1853d2402c8a3615d9d",
]


class Repository:
    """A repository in a folder of its own, with nobody's configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *arguments]
        done = subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout

    def commit(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)
        self.git("add", name)
        self.git("commit", "-q", "-m", name)

    def scan(self, mode: str, said: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SCANNER), mode],
            cwd=self.path,
            env={**self.environment, **environment},
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
        return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(self.path)}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "repository"
    path.mkdir()
    return Repository(path)


@pytest.mark.parametrize("kind", SECRETS)
def test_a_staged_secret_is_stopped_by_place_and_kind_and_not_shown(repository: Repository, kind: str) -> None:
    repository.commit("a.py", "one\n")
    (repository.path / "a.py").write_text(f"one\ntwo\nx {SECRETS[kind]}\n")
    repository.git("add", "a.py")
    done = repository.scan("--staged")
    assert done.returncode == 1
    assert done.stdout == f"a.py:3: looks like: {kind}\n"
    assert SECRETS[kind] not in done.stdout + done.stderr


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_no_secret_passes(repository: Repository, line: str) -> None:
    (repository.path / "a.py").write_text(line + "\n")
    repository.git("add", "a.py")
    done = repository.scan("--staged")
    assert (done.returncode, done.stdout) == (0, "")


def test_only_added_lines_count(repository: Repository) -> None:
    repository.commit("a.py", f"x = '{SECRETS['xAI key']}'\n")
    (repository.path / "a.py").write_text("x = read_key()\n")
    repository.git("add", "a.py")
    assert repository.scan("--staged").returncode == 0


def test_what_is_not_staged_is_not_looked_at(repository: Repository) -> None:
    repository.commit("a.py", "one\n")
    (repository.path / "a.py").write_text(SECRETS["xAI key"])
    assert repository.scan("--staged").returncode == 0


def test_an_allowed_line_passes(repository: Repository) -> None:
    (repository.path / "a.py").write_text(f"{SECRETS['AWS key id']}  # not a secret: from the vendor's manual\n")
    repository.git("add", "a.py")
    assert repository.scan("--staged").returncode == 0


def test_the_tree_is_scanned_without_locks_and_binaries(repository: Repository) -> None:
    repository.commit("some.lock", SECRETS["AWS key id"] + "\n")
    (repository.path / "b.bin").write_bytes(b"\0" + SECRETS["AWS key id"].encode())
    repository.git("add", "b.bin")
    assert repository.scan("--tree").returncode == 0
    repository.commit("deep.txt", "\n" * 4 + SECRETS["Google key"] + "\n")
    assert repository.scan("--tree").stdout == "deep.txt:5: looks like: Google key\n"


def pushed(repository: Repository, tmp_path: Path) -> str:
    """Push what there is to a remote; returns the pushed commit."""
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True, env=repository.environment)
    repository.git("remote", "add", "origin", str(remote))
    repository.git("push", "-q", "-u", "origin", "main")
    return repository.git("rev-parse", "HEAD").strip()


def test_a_secret_that_a_later_commit_took_out_is_still_outgoing(repository: Repository, tmp_path: Path) -> None:
    repository.commit("a.py", "one\n")
    before = pushed(repository, tmp_path)
    repository.commit("a.py", f"one\n{SECRETS['GitHub token']}\n")
    guilty = repository.git("rev-parse", "--short=10", "HEAD").strip()
    repository.commit("a.py", "one\n")
    head = repository.git("rev-parse", "HEAD").strip()
    told = f"{guilty} a.py:2: looks like: GitHub token\n"
    assert repository.scan("--push").stdout == told
    assert repository.scan("--push", f"refs/heads/main {head} refs/heads/main {before}\n").stdout == told
    assert repository.scan("--push", PRE_COMMIT_FROM_REF=before, PRE_COMMIT_TO_REF=head).stdout == told


def test_a_new_branch_is_compared_with_what_the_remote_has(repository: Repository, tmp_path: Path) -> None:
    repository.commit("old.py", SECRETS["GitHub token"] + "\n")
    pushed(repository, tmp_path)
    repository.git("checkout", "-q", "-b", "new")
    repository.commit("a.py", "one\n")
    head = repository.git("rev-parse", "HEAD").strip()
    said = f"refs/heads/new {head} refs/heads/new {'0' * 40}\n"
    assert repository.scan("--push", said).returncode == 0
    repository.commit("b.py", SECRETS["xAI key"] + "\n")
    head = repository.git("rev-parse", "HEAD").strip()
    assert repository.scan("--push", f"refs/heads/new {head} refs/heads/new {'0' * 40}\n").returncode == 1


def test_deleting_a_remote_branch_passes(repository: Repository) -> None:
    repository.commit("a.py", SECRETS["xAI key"])
    assert repository.scan("--push", f"(delete) {'0' * 40} refs/heads/x {'1' * 40}\n").returncode == 0


def test_what_cannot_be_looked_at_does_not_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCANNER), "--staged"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent), "GIT_DIR": str(tmp_path / "none")},
    )  # fmt: skip
    assert done.returncode != 0


def test_this_repository_holds_no_secret() -> None:
    done = subprocess.run(
        [sys.executable, str(SCANNER), "--tree"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_hooks_stop_a_commit_and_a_push(repository: Repository, tmp_path: Path) -> None:
    """The shipped hook configuration, run by pre-commit itself."""
    for name in ("scripts", "cluster"):
        (repository.path / name).mkdir()
    for name in (
        "scripts/scan_secrets.py",
        "scripts/check_hygiene.py",
        "cluster/redaction.py",
        ".pre-commit-config.yaml",
    ):
        shutil.copy(ROOT / name, repository.path / name)
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "start")
    pushed(repository, tmp_path)
    hooks = [sys.executable, "-m", "pre_commit", "run", "--color=never"]

    def hook(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*hooks, *arguments], cwd=repository.path, env=repository.environment, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip

    before = repository.git("rev-parse", "HEAD").strip()
    (repository.path / "notes.txt").write_text("key " + SECRETS["OpenAI key"] + "\n")
    repository.git("add", "notes.txt")
    stopped = hook()
    assert stopped.returncode == 1
    assert "notes.txt:1: looks like: OpenAI key" in stopped.stdout
    assert SECRETS["OpenAI key"] not in stopped.stdout + stopped.stderr
    repository.git("commit", "-q", "-m", "by force")
    refs = ["--hook-stage=pre-push", f"--from-ref={before}", "--to-ref=HEAD"]
    assert "notes.txt:1: looks like: OpenAI key" in hook(*refs).stdout
    (repository.path / "notes.txt").write_text("fine \n")
    repository.git("add", "notes.txt")
    assert "notes.txt:1: ends with white space" in hook().stdout
