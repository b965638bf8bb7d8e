"""`bessemer doctor`, `config` and `backend`: what they find, what they never show, and what they end with."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from bessemer.cluster import environment
from bessemer.cluster.environment import Row, look_around
from bessemer.cluster.settings import Settings
from bessemer.interfaces import _doctor
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command

SECRET = "sk-ant-" + "api03-abcdefghijklmnop"
KEYS = {"anthropic": ("ANTHROPIC_API_KEY",), "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY")}


@pytest.fixture(autouse=True)
def no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("BESSEMER_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(folder: Path) -> Settings:
    return Settings(state_dir=folder / ".bessemer")


def test_every_row_that_is_not_ok_has_a_remedy(no_keys: Path) -> None:
    found = _doctor.examine(settings(no_keys))
    names = {row.name for row in found.rows}
    assert {"Python", "Ray", "git", "sandbox", "disk", "browser", "embedded model", "writable paths"} <= names
    for row in found.rows:
        assert row.state == "ok" or row.remedy, row


def test_keys_are_told_but_not_shown(
    no_keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    for arguments in (["doctor"], ["doctor", "--json"], ["config"], ["backend"]):
        _frame.run(arguments, command())
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    written = (no_keys / ".bessemer" / "environment.json").read_text()
    assert SECRET not in written
    assert json.loads(written)["api_keys"]["anthropic"] is True


@pytest.mark.parametrize(
    ("variable", "flags"),
    [
        (None, set()),
        ("ANTHROPIC_API_KEY", {"has_vision"}),
        ("GOOGLE_API_KEY", {"has_vision", "has_image_gen", "has_video_gen"}),
        ("ELEVENLABS_API_KEY", {"has_audio_gen"}),
        ("OPENROUTER_API_KEY", {"has_image_gen"}),
    ],
)
def test_capability_flags_follow_the_keys(
    no_keys: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, flags: set[str]
) -> None:
    if variable:
        monkeypatch.setenv(variable, "x")
    found = look_around(settings(no_keys), KEYS).capabilities
    media = {"has_vision", "has_image_gen", "has_video_gen", "has_audio_gen"}
    assert {name for name in media if found[name]} == flags


def test_json_is_one_record_and_equals_the_file(no_keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = _frame.run(["doctor", "--json"], command())
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert record == json.loads((no_keys / ".bessemer" / "environment.json").read_text())
    assert code == (0 if record["usable"] else 5)
    assert "environment.json" in said.err


def test_something_missing_ends_with_5(
    no_keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(no_keys))
    assert _frame.run(["doctor"], command()) == 5
    said = capsys.readouterr().out
    assert "MISSING git" in said
    assert "-> install git 2.38 or newer" in said


@pytest.mark.parametrize(("thrown_away", "state"), [(True, "note"), (False, "ok")])
def test_modules_that_every_process_compiles_anew_are_told(
    no_keys: Path, monkeypatch: pytest.MonkeyPatch, thrown_away: bool, state: str
) -> None:
    monkeypatch.setattr("sys.pycache_prefix", str(no_keys / "empty"))
    monkeypatch.setattr("sys.dont_write_bytecode", thrown_away)
    row = environment.bytecode_row()
    assert row.state == state
    assert ("compileall" in row.remedy) == thrown_away


def test_without_ray_doctor_still_tells_all_it_can(no_keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    rows = {row.name: row for row in environment.machine_rows(settings(no_keys))}
    assert rows["Ray"].state == "missing"
    assert rows["bytecode"].state == "ok"


@pytest.mark.parametrize("said", ["git version 2.37.9", "git version 1.8"])
def test_an_old_git_is_missing(no_keys: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    old = no_keys / "git"
    old.write_text(f"#!/bin/sh\necho {said}\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{no_keys}:/bin:/usr/bin")
    assert environment.git_row().state == "missing"


def test_without_any_model_it_says_how_to_get_one(no_keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Row(name="embedded model", state="note", found="its runtime is not installed", remedy="install it")
    row = _doctor.model_row(settings(no_keys), absent)
    assert row.state == "missing"
    assert "ANTHROPIC_API_KEY" in row.remedy
    monkeypatch.setenv("XAI_API_KEY", "x")
    assert _doctor.model_row(settings(no_keys), absent).state == "ok"


def test_a_state_directory_that_cannot_be_written_is_missing(no_keys: Path) -> None:
    (no_keys / "file").write_text("")
    row = environment.state_row(no_keys / "file" / ".bessemer")
    assert row.state == "missing"
    assert "BESSEMER_STATE_DIR" in row.remedy


def test_config_show_prints_a_settings_file_that_is_accepted(no_keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (no_keys / "c.yaml").write_text("budget: {run: 2.5}\nledger: {url: 'postgresql://me:hunter2@db/x'}\n")
    assert _frame.run(["config", "show", "-c", "c.yaml"], command()) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    (no_keys / "again.yaml").write_text(shown)
    assert _frame.run(["config", "show", "-c", "again.yaml"], command()) == 0
    assert capsys.readouterr().out == shown


def test_a_backend_says_its_model_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert _frame.run(["backend", "list", "gemini", "--json"], command()) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["model"].startswith("google/")
    assert not record["usable"]
    assert "GEMINI_API_KEY" in record["why"]
    assert _frame.run(["backend", "list", "gmini"], command()) == 2
    assert "did you mean gemini?" in capsys.readouterr().err
