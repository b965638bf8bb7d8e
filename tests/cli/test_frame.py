"""The frame around commands: exit codes, one line for every error, flags with several values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from bessemer.cluster.errors import BudgetExhausted, InconclusiveError, SettingsError
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli._arguments import spread_values
from bessemer.interfaces.cli._help import Command, build
from bessemer.interfaces.cli.main import ENTRIES, SECTIONS, command

SECRET = "sk-ant-" + "api03-abcdefghijklmnop"


def raising(error: BaseException) -> Any:
    app = typer.Typer(add_completion=False)

    @app.command(cls=Command)
    def fail() -> None:
        raise error

    return typer.main.get_command(app)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BESSEMER_STATE_DIR", raising=False)
    monkeypatch.delenv("BESSEMER_DEBUG", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SettingsError("config.yaml:1: wrong"), 2, "error: config.yaml:1: wrong"),
        (InconclusiveError("no probe ran"), 3, "error: no probe ran"),
        (BudgetExhausted("the cap is reached"), 4, "error: the cap is reached"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, "interrupted"),
        (typer.Exit(1), 1, ""),
        (SystemExit(3), 3, ""),
        (OSError(28, "No space left on device", "/x/y"), 5, "error: cannot write /x/y: the disk is full"),
    ],
)
def test_every_ending_has_its_exit_code_and_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _frame.run([], raising(error)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(line)
    assert said.err.count("\n") <= 1


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    _frame.run([], raising(SettingsError("one\ntwo\n  three")))
    assert capsys.readouterr().err == "error: one two three\n"


def test_with_json_an_error_is_a_record_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert _frame.run(["--json"], raising(SettingsError("never reached"))) == 2
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert (record["event"], record["exit_code"]) == ("error", 2)
    assert said.err.startswith("error: ")


def test_a_bug_is_one_line_and_a_log_without_keys(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _frame.run([], raising(ZeroDivisionError(f"while using {SECRET}"))) == 5
    said = capsys.readouterr().err
    assert said.startswith("error: this is a bug in Bessemer (ZeroDivisionError: while using (hidden))")
    assert said.count("\n") == 1
    (log,) = (empty_folder / ".bessemer" / "crashes").iterdir()
    assert str(log.relative_to(empty_folder)) in said
    text = log.read_text()
    assert "Traceback" in text
    assert SECRET not in text
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_bug_is_told_even_where_no_log_can_be_written(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty_folder / ".bessemer").write_text("a file where a folder should be")
    monkeypatch.setattr("tempfile.tempdir", str(empty_folder / ".bessemer"))
    assert _frame.run([], raising(ZeroDivisionError())) == 5
    assert "set BESSEMER_DEBUG=1 for details" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["refnie"], "no such command 'refnie'; did you mean refine?; see `bessemer --help`"),
        (["run", "shwo"], "no such command 'shwo'; did you mean show?; see `bessemer run --help`"),
        (["refine", "x", "--max-round", "3"], "no such option: --max-round; did you mean --max-rounds?"),
        (["refine", "x", "--max-rounds", "0"], "--max-rounds is '0'; it should be greater than or equal to 1"),
        (["refine", "x", "--max-rounds=ab"], "--max-rounds is 'ab'; it should be a valid integer"),
        (["lake", "export", "--format", "xml", "out"], "--format is 'xml'; it should be one of 'parquet', 'csv'"),
        (["refine", "--probe", "pytest", "Fix it"], "--probe took 'Fix it'; put the argument before --probe"),
        (["refine"], "missing argument"),
    ],
)
def test_wrong_usage_is_one_line_with_the_remedy(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _frame.run(arguments, command()) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("T --probe a b", "T --probe a --probe b"),
        ("T --probe a --probe b", "T --probe a --probe b"),
        ("--probe a b --max-rounds 3", "--probe a --probe b --max-rounds 3"),
        ("--eval-backends A B C --json", "--eval-backends A --eval-backends B --eval-backends C --json"),
        ("--probe=a b", "--probe=a b"),
        ("--probe a -- T", "--probe a -- T"),
        ("T --probe", "T --probe"),
        ("--probe a --other b c", "--probe a --other b c"),
        ("-- --probe a b", "-- --probe a b"),
        ("--criteria a b", "--criteria a b"),
    ],
)
def test_values_may_stand_side_by_side(written: str, meant: str) -> None:
    assert spread_values(written.split(), {"--probe", "--eval-backends", "--criteria"}) == meant.split()


def test_a_probe_with_spaces_stays_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    taken: list[list[str]] = []
    app = typer.Typer(add_completion=False)

    @app.command(cls=Command)
    def go(task: str, probe: Annotated[list[str], typer.Option("--probe")]) -> None:
        taken.append(probe)

    arguments = ["task", "--probe", "pytest -q", "ruff check", "--probe", "mypy"]
    assert _frame.run(arguments, typer.main.get_command(app)) == 0
    assert taken == [["pytest -q", "ruff check", "mypy"]]


def test_the_top_page_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert _frame.run([], command()) == 0
    page = capsys.readouterr().out
    assert sorted(name for _, names in SECTIONS for name in names) == sorted(ENTRIES)
    for name in ENTRIES:
        assert f"  {name} " in page
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"  {code:>3}  " in page


def test_the_top_page_says_what_each_commands_own_page_says() -> None:
    for name, entry in ENTRIES.items():
        own = build(name, entry).help.replace("\n", " ")
        assert own.startswith(entry.help.rstrip(".")), f"{name}: {own!r} against {entry.help!r}"


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from bessemer.interfaces.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'ray', 'pydantic', 'rich', 'yaml', 'asyncio', 'sqlalchemy', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "from bessemer.interfaces.cli.main import main; main(['--help'])"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
