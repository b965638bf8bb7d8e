"""Folders with an empty queue: one whose tasks run on the session's cluster, and one where nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.queue._night import Night


@pytest.fixture
def night(short_tmp: Path, ray_cluster: str) -> Iterator[Night]:
    made = Night(short_tmp, ray_cluster)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "a.py").write_text("x = 1\n")
    (tmp_path / "scenario.yaml").write_text("rules: []\ndefault: {text: done}\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("BESSEMER_SCENARIO", str(tmp_path / "scenario.yaml"))
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "XAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return root
