"""What a user of `bessemer consensus` can get wrong: one line, exit code 2, nothing started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command

PANEL = ["--backends", "scripted/a", "scripted/b", "scripted/c"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scenario.yaml").write_text("rules: []\ndefault: {text: done}\n")
    (tmp_path / "note.md").write_text("Some context.\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BESSEMER_SCENARIO", str(tmp_path / "scenario.yaml"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "named", "remedy"),
    [
        (["x"], "no backend is named", "--backends A B C"),
        (["", *PANEL], "the task is empty", "say what is wanted"),
        (["x", "--prompt-file", "note.md", *PANEL], "--prompt-file", "one way"),
        (["x", "--mode", "poetry", *PANEL], "'poetry'", "evaluate, general"),
        (["x", "--rule", "loudest", *PANEL], "'loudest'", "majority, weighted, ranked, unanimous"),
        (["x", "--policy", "none", *PANEL], "'none'", "default, massgen, sequential"),
        (["x", "--policy", "sequential", "--rule", "unanimous", *PANEL], "--rule unanimous", "leave out one"),
        (["x", "--tolerance", "0.7", *PANEL], "0.7", ""),
        (["x", "--pace", "slow", *PANEL], "'slow'", "fast, thrifty"),
        (["x", "--quorum", "4", *PANEL], "--quorum 4", "lower it"),
        (["x", "--max-rounds", "4", *PANEL], "4", ""),
        (["x", "--backends", "scripted/a", "scripted/a"], "scripted/a", "once"),
        (["x", "--artifacts", "nowhere", *PANEL], "nowhere", "give files"),
        (["x", "--context", "nowhere", *PANEL], "nowhere", "path of a text file"),
        (["x", "--context", "binary", *PANEL], "binary", "UTF-8"),
        (["x", "--work-dir", "note.md", *PANEL], "note.md", "give a folder"),
        (["x", "--criteria", "E1: a", "--criteria-preset", "default", *PANEL], "--criteria-preset", "one way"),
        (["x", "--mode", "evaluate", "--no-cwd-context", *PANEL], "nothing to evaluate", "--artifacts"),
        (["x", "--cost-budget", "-1", *PANEL], "'-1'", "for example 2.50"),
    ],
)
def test_a_wrong_flag_is_refused(
    arguments: list[str], named: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _frame.run(["consensus", *arguments], command())
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert len(lines) == 1
    assert named in lines[0]
    assert remedy in lines[0]


def test_a_dry_run_shows_plan_and_price_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["consensus", "x", "--context", "note.md", "--artifacts", "note.md", "--dry-run", "--json", *PANEL]
    assert _frame.run(words, command()) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["plan"]["context"] == "Some context.\n"
    assert [step["purpose"] for step in shown["estimate"]["steps"]] == ["consensus"] * 3
    assert shown["estimate"]["steps"][0]["most_steps"] == 3


def test_the_task_may_stand_in_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "task.md").write_text("Choose a name.\n\nIt must be short.\n")
    flags = ["--prompt-file", "task.md", "--focus", "how it sounds", "--quorum", "3", "--rule", "ranked"]
    assert _frame.run(["consensus", *flags, "--dry-run", "--json", *PANEL], command()) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["task"].strip() == "Choose a name.\n\nIt must be short."
    assert (plan["focus"], plan["quorum"], plan["rule"]) == ("how it sounds", 3, "ranked")


KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "XAI_API_KEY")


@pytest.mark.parametrize(
    ("key", "flags", "code", "said"),
    [
        ("XAI_API_KEY", ["consensus", "x"], 0, "left out: anthropic/claude-opus-4-6 needs a key"),
        ("OPENAI_API_KEY", ["consensus", "x"], 0, "openai/gpt-5.4 answers in their place"),
        ("OPENAI_API_KEY", ["evaluate", "note.md"], 0, "openai/gpt-5.4 judges in their place"),
        ("", ["evaluate", "note.md"], 0, "no backend that was named has a key: the verdict comes from the probes"),
        ("", ["consensus", "x", "--mode", "evaluate"], 0, "the verdict comes from the probes"),
        ("", ["consensus", "x"], 2, "needs a key: set XAI_API_KEY"),
    ],
)
def test_a_panel_goes_on_without_whoever_has_no_key(
    key: str,
    flags: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    if key:
        monkeypatch.setenv(key, "x")
    named = "--eval-backends" if flags[0] == "evaluate" else "--backends"
    words = [*flags, "--dry-run", "--json", named, "xai/grok-4.20-0309-reasoning", "anthropic/claude-opus-4-6"]
    assert _frame.run(words, command()) == code
    assert said in capsys.readouterr().err


def test_one_backend_is_said_to_be_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert _frame.run(["consensus", "x", "--dry-run", "--backends", "scripted/a"], command()) == 0
    assert "nobody else looks at it" in capsys.readouterr().err
