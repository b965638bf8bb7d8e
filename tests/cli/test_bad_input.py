"""What a user can get wrong before anything starts: one line, the documented exit code, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command

SCENARIO = "rules: []\ndefault: {text: done}\n"
PRICED = ["--build-backend", "scripted/b", "--eval-backends", "probes"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one file, no key in the environment, and a scenario for the scripted backend."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "a.py").write_text("x = 1\n")
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    monkeypatch.chdir(root)
    monkeypatch.setenv("BESSEMER_SCENARIO", str(tmp_path / "scenario.yaml"))
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "XAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return root


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    code = _frame.run(arguments, command())
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said.err
    return code, lines[0]


TOO_MANY = ", ".join(f"E{number}: thing {number}" for number in range(1, 14))


@pytest.mark.parametrize(
    ("flags", "names", "remedy"),
    [
        (["--build-backend", "nosuch/model"], "nosuch/model", "give provider/model"),
        (["--build-backend", "nosuch"], "'nosuch'", "short name"),
        (["--build-backend", "anthropic/claude-opus-4-6"], "ANTHROPIC_API_KEY", "set"),
        (["--eval-backends", "openai/gpt-5.4", "--build-backend", "scripted/b"], "OPENAI_API_KEY", "set"),
        ([*PRICED, "--criteria-file", "none.yaml"], "none.yaml", "give the path"),
        ([*PRICED, "--criteria-file", "bad.yaml"], "bad.yaml:3:4", "correct it"),
        ([*PRICED, "--criteria", ""], "0 criteria", "give 1 to 12"),
        ([*PRICED, "--criteria", TOO_MANY], "13 criteria", "give 1 to 12"),
        ([*PRICED, "--criteria", "E1: a", "--criteria-preset", "default"], "--criteria-preset", "one way"),
        ([*PRICED, "--criteria-preset", "nosuch"], "'nosuch'", "the presets are"),
        ([*PRICED, "--prior-answer", "nowhere"], "'nowhere'", "give a file or a folder"),
        ([*PRICED, "--python", "nowhere/python"], "nowhere/python", "give the path"),
        ([*PRICED, "--cost-budget", "0"], "'0'", "for example 2.50"),
        ([*PRICED, "--cost-budget", "-1"], "'-1'", "for example 2.50"),
        ([*PRICED, "--cost-budget", "nan"], "'nan'", "for example 2.50"),
        ([*PRICED, "--cost-budget", "Infinity"], "'Infinity'", "for example 2.50"),
        ([*PRICED, "--cost-budget", "1e10"], "'1e10'", "more than 1,000,000,000 dollars"),
        ([*PRICED, "--probe", "pytest -q", " "], "a probe is empty", "a command line"),
        ([*PRICED, "--time-budget", "soon"], "'soon'", "10m"),
        ([*PRICED, "--time-budget", "0s"], "0s", "10m"),
        ([*PRICED, "--eval-backends", "a/b", "c/d"], "probes", "or probes alone"),
        (["--build-backend", "scripted/b", "--eval-backends", "scripted/j", "scripted/j"], "scripted/j", "once"),
        ([*PRICED, "--apply", "--detach"], "--apply", "leave out --detach"),
        ([*PRICED, "-c", "missing.yaml"], "missing.yaml", ""),
        ([*PRICED, "-c", "typo.yaml"], "refin", ""),
    ],
)
def test_a_wrong_flag_is_refused_before_anything_starts(
    folder: Path, flags: list[str], names: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text("criteria:\n  - id: E1\n   text: x\n")
    (folder / "typo.yaml").write_text("refin:\n  builders: 2\n")
    before = sorted(path.name for path in folder.iterdir())
    code, line = refused(["refine", "Make it right", *flags], capsys)
    assert code == 2
    assert names in line
    assert remedy in line
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_model_without_a_price_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BESSEMER_COMPATIBLE_URL", "http://127.0.0.1:9/v1")
    code, line = refused(["refine", "x", "--build-backend", "openai-compatible/own"], capsys)
    assert code == 2
    assert "no price is known for 'openai-compatible/own'" in line
    assert "overrides: {openai-compatible/own:" in line


@pytest.mark.parametrize("text", ["rules: [", "rules:\n  - match: {persona: 3}\n", "[]", ""])
def test_a_scenario_that_does_not_parse_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scenario.yaml").write_text(text)
    code, line = refused(["refine", "x", *PRICED], capsys)
    assert code == 2
    assert "scenario.yaml" in line


def test_without_a_scenario_or_an_address_nothing_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BESSEMER_SCENARIO")
    assert "set BESSEMER_SCENARIO" in refused(["refine", "x", *PRICED], capsys)[1]
    monkeypatch.setenv("BESSEMER_COMPATIBLE_URL", "ftp://somewhere")
    code, line = refused(["refine", "x", "--build-backend", "openai-compatible/m"], capsys)
    assert (code, "ftp://somewhere" in line) == (2, True)


COMMANDS: list[Callable[[], list[str]]] = [
    lambda: ["refine", "x", *PRICED],
    lambda: ["evaluate", ".", "--eval-backends", "probes"],
    lambda: ["run", "list"],
    lambda: ["budget", "show"],
    lambda: ["ledger", "prune", "--older-than", "30d"],
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_damaged_ledger_is_named_and_left_as_it_is(
    folder: Path, arguments: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".bessemer").mkdir()
    ledger = folder / ".bessemer" / "ledger.db"
    ledger.write_bytes(b"SQLite format 3\0" + b"damaged" * 1000)
    code, line = refused(arguments(), capsys)
    assert code == 5
    assert str(ledger) in line
    assert "restore a copy" in line
    assert ledger.read_bytes() == b"SQLite format 3\0" + b"damaged" * 1000
    assert not (folder / ".bessemer" / "runs").exists()


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_state_directory_that_cannot_be_written_is_named(
    arguments: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Not even root may make a folder there.
    monkeypatch.setenv("BESSEMER_STATE_DIR", "/proc/bessemer")
    code, line = refused(arguments(), capsys)
    assert code == 5
    assert "/proc/bessemer" in line


@pytest.mark.parametrize("command_", ["refine", "evaluate"])
def test_work_that_cannot_be_taken_in_is_refused_before_a_run_begins(
    folder: Path, command_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "void").mkdir()
    arguments = ["void"] if command_ == "evaluate" else ["x", "--prior-answer", "void", "--build-backend", "scripted/b"]
    code, line = refused([command_, *arguments, "--eval-backends", "probes"], capsys)
    assert code == 2
    assert "void' holds no files to work on" in line
    assert not (folder / ".bessemer" / "runs").exists()


def test_an_empty_folder_needs_something_that_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fresh").mkdir()
    monkeypatch.chdir(tmp_path / "fresh")
    code, line = refused(["refine", "Write a parser", *PRICED], capsys)
    assert code == 2
    assert "fresh' is empty" in line
    assert "--eval-backends" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["refine", " "], "the task is empty"),
        (["consensus", "", "--backends", "scripted/a", "scripted/b"], "the task is empty"),
        (["queue", "add", ""], "task is ''"),
        (["plan", "new", ""], "no text to make a plan from"),
    ],
)
def test_an_empty_task_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = refused(arguments, capsys)
    assert code == 2
    assert said in line
