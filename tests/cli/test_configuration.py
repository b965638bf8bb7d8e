"""Choosing what a run uses: init, the configurations there are, and agreement before money is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command

VARIABLES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "XAI_API_KEY")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a configuration, a user without one, and no key."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "a.py").write_text("x = 1\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return root


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert _frame.run(list(arguments), command()) == code
    out, err = capsys.readouterr()
    return out, err


def project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / ".bessemer" / "config.yaml").read_text())
    return found


def test_init_takes_the_keys_that_are_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, nothing = told(capsys, "init", "--headless", code=2)
    assert "no key is set" in nothing
    assert "backend=embedded" in nothing
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    _, said = told(capsys, "init", "--headless", "--cost-budget", "2.50")
    assert "not-a-real-key" not in said
    assert project(folder) == {
        "refine": {"build_backend": "openai/gpt-5.4"},
        "eval": {"backends": ["openai/gpt-5.4"]},
        "budget": {"run": "2.50"},
    }
    _, again = told(capsys, "init", "--headless", code=2)
    assert "--force" in again
    told(capsys, "init", "--force", "--agent", "backend=claude,model=claude-sonnet-5", "--agent", "backend=grok")
    assert project(folder)["refine"]["build_backend"] == "anthropic/claude-sonnet-5"
    assert project(folder)["eval"]["backends"] == ["xai/grok-4.20-0309-reasoning"]
    assert (folder / ".bessemer" / "config.yaml.old").exists()


@pytest.mark.parametrize("agent", ["claude", "backend=", "backend=claude,modl=x", "backend=nobody,model=m"])
def test_an_agent_that_is_not_understood_writes_nothing(
    folder: Path, agent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = told(capsys, "init", "--agent", agent, code=2)
    assert said.splitlines()[-1].startswith("error: ")
    assert not (folder / ".bessemer" / "config.yaml").exists()


def test_configurations_are_listed_with_their_places_and_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    mine = tmp_path / "config" / "bessemer" / "config.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("eval: {backends: [claude]}\n")
    other = tmp_path / "other.yaml"
    other.write_text("refine: {build_backend: claude}\neval: {backends: [probes]}\n")
    told(capsys, "refine", "x", "-c", str(other), "--dry-run")
    out, _ = told(capsys, "config", "list", "--json")
    assert [json.loads(line)["place"] for line in out.splitlines()] == ["project", "user"], "a dry run uses nothing"
    from bessemer.interfaces._configurations import remember

    remember([other])
    out, _ = told(capsys, "config", "list", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["place"], row["exists"]) for row in rows] == [("project", False), ("user", True), ("recent", True)]
    assert rows[2]["eval_backends"] == ["probes"]
    told(capsys, "config", "use", "3")
    assert project(folder) == yaml.safe_load(other.read_text())
    _, refused = told(capsys, "config", "use", "user", code=2)
    assert "--force" in refused
    told(capsys, "config", "use", "user", "--force")
    assert project(folder) == {"eval": {"backends": ["claude"]}}
    _, unknown = told(capsys, "config", "use", "7", code=2)
    assert "'7'" in unknown


def test_validate_names_every_obstacle(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "it.yaml"
    file.write_text("refine: {build_backend: openai/gpt-9-nosuch}\neval: {backends: [claude, nobody]}\n")
    out, _ = told(capsys, "config", "validate", str(file), "--json", code=2)
    problems = json.loads(out)["problems"]
    assert len(problems) == 3
    assert "OPENAI_API_KEY" in problems[0]
    assert "ANTHROPIC_API_KEY" in problems[1]
    assert "'nobody'" in problems[2]
    file.write_text("refine: {builder: 3}\n")
    _, said = told(capsys, "config", "validate", str(file), code=2)
    assert "builder" in said
    told(capsys, "config", "validate", str(tmp_path / "none.yaml"), code=2)
    told(capsys, "config", "validate")


def test_nothing_is_judged_for_money_that_nobody_agreed_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    _, said = told(capsys, "evaluate", ".", code=2)
    assert "anthropic/claude-opus-4-6" in said
    assert "--yes" in said
    assert "bessemer init" in said
    assert not (folder / ".bessemer" / "runs").exists()


@pytest.mark.parametrize("words", [("plan", "new", "Make notes"), ("spec", "new", "Notes get lost")])
def test_nothing_is_written_for_money_that_nobody_agreed_to(
    words: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    _, said = told(capsys, *words, code=2)
    assert "--backend anthropic/claude-opus-4-6" in said
    assert "--yes" in said
    assert not (folder / ".bessemer" / "runs").exists()


def test_backends_are_listed_with_prices_and_without_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-secret-value")
    out, _ = told(capsys, "backend", "list", "--json")
    assert "a-secret-value" not in out
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    claude = rows["claude"]
    assert (claude["usable"], claude["key_present"], claude["key"]) == (True, True, "ANTHROPIC_API_KEY")
    assert (claude["input_price"], claude["output_price"]) == ("5", "25")
    assert claude["images"] and claude["structured"] and claude["batch"]
    assert rows["grok"]["usable"] is False
    assert "XAI_API_KEY" in rows["grok"]["why"]
    assert rows["embedded"]["key_present"] is None
    out, _ = told(capsys, "backend", "list", "openai/gpt-5.4")
    assert "2.5" in out
    _, unknown = told(capsys, "backend", "list", "opnai/gpt-5.4", code=2)
    assert "openai/gpt-5.4" in unknown
