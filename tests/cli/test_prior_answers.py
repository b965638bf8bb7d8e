"""Work that cannot be read is refused in one line, before anything starts.

The commands run without the rights by which root reads everything.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOTS_RIGHTS = "-dac_override,-dac_read_search"
ASK = """
import json, sys
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command
for name in json.loads(sys.argv[1]):
    words = ["evaluate", name, "--eval-backends", "probes", "--no-sandbox", "--dry-run"]
    print("exit", _frame.run(words, command()), file=sys.stderr)
"""


def without_rights() -> list[str]:
    """What to put before a command so that it reads only what modes permit."""
    if os.geteuid() != 0:
        return []
    line = ["setpriv", f"--bounding-set={ROOTS_RIGHTS}", f"--inh-caps={ROOTS_RIGHTS}"]
    if shutil.which("setpriv") is None or subprocess.run([*line, "true"], check=False).returncode:
        pytest.skip("root reads everything here, and setpriv cannot give that right up")
    return line


@pytest.fixture
def works(short_tmp: Path) -> Iterator[Path]:
    """Works with something in each that cannot be read."""
    for folder in (
        "folder",
        "with_folder/inner",
        "unsearchable",
        "with_unsearchable/inner",
        "tracked/inner",
        "pipe",
        "here",
    ):
        (short_tmp / folder).mkdir(parents=True)
        (short_tmp / folder / "notes.md").write_text("text\n")
    (short_tmp / "file.md").write_text("text\n")
    (short_tmp / "circle").symlink_to("circle")
    os.mkfifo(short_tmp / "pipe" / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_tmp / "socket"))
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=short_tmp / "tracked", check=True)
    modes = {"file.md": 0o000, "folder": 0o000, "with_folder/inner": 0o000, "tracked/inner": 0o000}
    modes |= {"unsearchable": 0o444, "with_unsearchable/inner": 0o444}
    for name, mode in modes.items():
        (short_tmp / name).chmod(mode)
    yield short_tmp
    for name in modes:
        (short_tmp / name).chmod(0o755)


REFUSED = {
    "../file.md": "the prior answer '../file.md' cannot be read; check its permissions",
    "../folder": "the prior answer '../folder' cannot be read; check its permissions",
    "../folder/notes.md": "the prior answer '../folder/notes.md' cannot be read; check its permissions",
    "../with_folder": "/with_folder/inner' cannot be read; give read access or remove it",
    "../unsearchable": "/unsearchable' cannot be read; give read access or remove it",
    "../with_unsearchable": "/with_unsearchable/inner' cannot be read; give read access or remove it",
    "../tracked": "/tracked/inner' cannot be read; give read access or remove it",
    "../pipe": "/pipe/fifo' is a FIFO, socket or device; remove it",
    "../socket": "/socket' is a FIFO, socket or device; remove it",
    "../circle": "the prior answer '../circle' cannot be used",
    "x" * 300: "cannot be used",
    "../file.md/more": "does not exist; give a file or a folder",
    "no\0name": "cannot be used",
}


def test_work_that_cannot_be_read_is_refused_and_said_why(works: Path) -> None:
    line = [*without_rights(), sys.executable, "-c", ASK, json.dumps(list(REFUSED))]
    done = subprocess.run(line, cwd=works / "here", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = [one for one in done.stderr.splitlines() if one.startswith(("error: ", "exit "))]
    assert [one for one in said if one.startswith("exit ")] == ["exit 2"] * len(REFUSED), done.stderr
    errors = [one for one in said if one.startswith("error: ")]
    for error, (name, why) in zip(errors, REFUSED.items(), strict=True):
        assert why in error, (name, error)
    assert not (works / "here" / ".bessemer" / "crashes").exists()
