"""How a user asks for overnight calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("way", ["flag", "setting"])
def test_the_plan_says_overnight_and_who_has_no_batches_is_named(tmp_path: Path, way: str) -> None:
    (tmp_path / "work.md").write_text("# Work\n")
    (tmp_path / "scenario.yaml").write_text("rules: []\ndefault: {text: done}\n")
    words = ["evaluate", ".", "--eval-backends", "scripted/x", "--dry-run", "--json"]
    environment = {**os.environ, "BESSEMER_SCENARIO": str(tmp_path / "scenario.yaml")}
    if way == "flag":
        words.append("--overnight")
    else:
        environment["BESSEMER_URGENCY"] = "overnight"
    command = [sys.executable, "-m", "bessemer.interfaces.cli", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"urgency": "overnight"' in json.dumps(json.loads(done.stdout.strip().splitlines()[-1]))
    assert "scripted/x has no batch API" in done.stderr + done.stdout
