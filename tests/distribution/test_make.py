"""The Makefile's plumbing, without installing anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-embedded.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "BESSEMER_"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_names_every_target(folder: Path) -> None:
    said = make(folder).stdout
    for target in ("demo", "test", "lint", "bench", "docs", "chaos", "lock", "clean"):
        assert f"make {target}" in said


def test_without_a_new_enough_python_it_says_so(folder: Path) -> None:
    done = make(folder, "test", "PYTHON=")
    assert done.returncode != 0
    assert "error: no Python 3.11 or newer was found" in done.stderr


def test_a_python_that_cannot_make_environments_is_told_with_the_remedy(folder: Path) -> None:
    done = make(folder, "test", "PYTHON=false")
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr
    assert not (folder / ".venv" / ".created").exists()


def test_the_demo_installs_the_model_only_where_no_key_is_used(folder: Path) -> None:
    assert "requirements-embedded.lock" in make(folder, "-n", "demo").stdout
    with_key = make(folder, "-n", "demo", BESSEMER_DEMO_BACKEND="claude").stdout
    assert "requirements.lock" in with_key
    assert "requirements-embedded.lock" not in with_key
    assert "requirements-embedded.lock" not in make(folder, "-n", "test").stdout


def test_what_is_installed_is_not_installed_again_until_the_lock_changes(folder: Path) -> None:
    venv = folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    for stamp in (".created", ".ready"):
        (venv / stamp).touch()
    assert "pip" not in make(folder, "-n", "install").stdout
    os.utime(folder / "requirements.lock", (2**31, 2**31))
    assert "--require-hashes -r requirements.lock" in make(folder, "-n", "install").stdout


def run_demo(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run the demo script with `program` in the place of `bessemer`."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").symlink_to(sys.executable)
    (bin_folder / "bessemer").write_text(f"#!/bin/sh\n{program}\n")
    (bin_folder / "bessemer").chmod(0o755)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    (folder / "examples" / "small").mkdir(parents=True)
    (folder / "examples" / "small" / "pyproject.toml").write_text("")
    return subprocess.run(
        [str(bin_folder / "python"), "scripts/demo.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


RUN = "r=.bessemer/runs/x; mkdir -p $r/result $r/evaluations/round_001; e=$r/evaluations/round_001; "
VALID = (
    RUN + "echo '[1]' > $r/criteria.json; echo '{}' > $r/outcome.json; "
    'echo \'{"verdict": "iterate"}\' > $e/verdict.json; echo {} > $e/next_tasks.json; touch $e/critique_packet.md; '
)


@pytest.mark.parametrize(
    ("program", "code", "says"),
    [
        (VALID + "exit 0", 0, "verdict passed (exit 0)"),
        (VALID + "exit 1", 0, "verdict failed (exit 1)"),
        (VALID + "exit 3", 3, "came to no verdict (exit 3)"),
        (VALID + "echo broken > $e/verdict.json; exit 0", 1, "holds no verdict"),
        (VALID + "rm $e/next_tasks.json; exit 1", 1, "next_tasks.json is missing"),
        ("exit 0", 1, "holds 0 runs, not one"),
    ],
)
def test_the_demo_accepts_a_verdict_with_valid_files_and_nothing_else(
    tmp_path: Path, program: str, code: int, says: str
) -> None:
    done = run_demo(tmp_path, program)
    assert says in done.stdout + done.stderr
    assert done.returncode == code


def test_the_demo_works_on_a_copy(tmp_path: Path) -> None:
    run_demo(tmp_path, VALID + "echo changed > pyproject.toml; exit 0")
    assert (tmp_path / "examples" / "small" / "pyproject.toml").read_text() == ""
    (copied,) = (tmp_path / "demo").iterdir()
    assert json.loads((copied / ".bessemer" / "runs" / "x" / "criteria.json").read_text()) == [1]
