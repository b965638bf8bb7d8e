"""What a user can get wrong about models, through the real command: one line, the exit code, and never a key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "bessemer.interfaces.cli"]
SECRET = "sk-ant-" + "api03-abcdefghijklmnopqrstuv"
CONFIG = ".bessemer/config.yaml"
BROKEN = "rules: []\nfoo: 1\n  bar: 2\n"
TWICE = "backends:\n  names:\n    mine: openai/gpt-5.4\n    mine: xai/grok-4.7\n"
CHECK = ["backend", "check"]


def bessemer(
    folder: Path, arguments: list[str], environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_API_KEY") and not name.startswith("BESSEMER_")
    }
    given = {**clean, "XDG_CONFIG_HOME": str(folder / "none"), **(environ or {})}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=given, capture_output=True, text=True, timeout=250, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "files", "environ", "said"),
    [
        ([*CHECK, "anthropic/claude-opus-4-6"], {}, {}, ["anthropic/claude-opus-4-6", "set ANTHROPIC_API_KEY"]),
        ([*CHECK, "gemini"], {}, {}, ["GEMINI_API_KEY or GOOGLE_API_KEY"]),
        (
            [*CHECK, "anthropic/claude-opus-4-6"],
            {CONFIG: f"backends:\n  anthropic:\n    api_key: {SECRET}\n"},
            {},
            ["config.yaml:3", "environment or in .env"],
        ),
        (
            [*CHECK, "openai/gpt-5.44"],
            {},
            {"OPENAI_API_KEY": SECRET},
            ["'openai/gpt-5.44'", "did you mean openai/gpt-5.4"],
        ),
        ([*CHECK, "opnai/gpt-5.4"], {}, {}, ["'opnai/gpt-5.4'", "did you mean openai/gpt-5.4"]),
        ([*CHECK, "codex", "codex/gpt-5.4"], {}, {"OPENAI_API_KEY": SECRET}, ["named 2 times", "each backend once"]),
        ([*CHECK, "openai/gpt-5.4"], {CONFIG: TWICE}, {}, ["config.yaml:4", "mine is given twice"]),
        ([*CHECK, "scripted/j"], {"s.yaml": BROKEN}, {"BESSEMER_SCENARIO": "s.yaml"}, ["s.yaml:3:6"]),
        (
            ["backend", "simulate", "--port", "0", "--scenario", "s.yaml"],
            {"s.yaml": BROKEN},
            {},
            ["s.yaml:3:6"],
        ),
    ],
    ids=[
        "missing key",
        "missing key of two names",
        "key in a file",
        "unknown model",
        "unknown provider",
        "a backend twice",
        "a name twice",
        "scenario",
        "scenario of the simulator",
    ],
)
def test_it_is_refused_in_one_line_before_anything_starts(
    tmp_path: Path, arguments: list[str], files: dict[str, str], environ: dict[str, str], said: list[str]
) -> None:
    for name, text in {"a.py": "x = 1\n", **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = bessemer(tmp_path, arguments, environ)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert [part for part in said if part not in line] == [], line
    assert SECRET not in line
    assert not (tmp_path / ".bessemer" / "ledger.db").exists()
