"""The written reference is what the commands say."""

from __future__ import annotations

from pathlib import Path

from bessemer.interfaces.cli._pages import reference

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_of_the_command_line_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference(), "run `make docs`"
