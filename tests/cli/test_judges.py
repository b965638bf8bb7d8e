"""Who judges: a model that may not is left out, and without one that may the verdict comes from the probes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_bad_models import bessemer

EMBEDDED = "embedded/qwen2.5-coder-1.5b"
OWN = "openai-compatible/small"
KEYLESS = ("openai/gpt-5.4", "anthropic/claude-opus-4-6")
PROBES = "the verdict comes from the probes"
SETTINGS = {
    "backends": {
        "compatible": {"base_url": "http://127.0.0.1:9/v1", "may_judge": False},
        "prices": {"overrides": {OWN: {"free": True}}},
    }
}


@pytest.mark.parametrize(
    ("words", "judges", "said"),
    [
        (["evaluate", "a.py", "--eval-backends", "embedded"], [], f"{EMBEDDED} cannot judge: {PROBES}"),
        (["evaluate", "a.py", "--eval-backends", OWN], [], f"{OWN} cannot judge: {PROBES}"),
        (
            ["evaluate", "a.py", "--eval-backends", "scripted/j", EMBEDDED],
            ["scripted/j"],
            f"{EMBEDDED} cannot judge: its share is left out",
        ),
        (["evaluate", "a.py"], [], f"no model is named and no key is set: {PROBES}"),
        (["refine", "Mend it"], [], f"{EMBEDDED} cannot judge: {PROBES}"),
        (
            ["refine", "Mend it", "--build-backend", EMBEDDED, "--eval-backends", *KEYLESS],
            [],
            f"no backend that was named has a key: {PROBES}",
        ),
    ],
    ids=["embedded", "a small one of one's own", "beside another", "nobody", "the builder", "no key"],
)
def test_who_cannot_judge_does_not(tmp_path: Path, words: list[str], judges: list[str], said: str) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "s.yaml").write_text("rules: []\n")
    (tmp_path / ".bessemer").mkdir()
    (tmp_path / ".bessemer" / "config.yaml").write_text(json.dumps(SETTINGS))
    done = bessemer(tmp_path, [*words, "--dry-run", "--json"], {"BESSEMER_SCENARIO": "s.yaml"})
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)["plan"]
    assert [one for one in (plan["eval_backend"], *plan["more_judges"]) if one] == judges
    assert said in done.stderr.splitlines()
