"""Caps as a person names them: which a run counts against, and how they are shown, set and refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.errors import SettingsError
from bessemer.cluster.ledger import Ledger, SetCap
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import versions
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli._resume import prepare_resume
from bessemer.interfaces.cli.main import command
from tests.ledger._make import closing, opening

TODAY = f"day:{datetime.now(UTC).date().isoformat()}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with work, a scenario, and budgets for a day and two accounts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.txt").write_text("x\n")
    (tmp_path / "s.yaml").write_text("default: { text: done }\n")
    (tmp_path / ".bessemer").mkdir()
    budget = {"run": 2, "day": "5.00", "time_zone": "UTC", "accounts": {"team": 10, "open": None}}
    config = {"backends": {"scripted": {"scenario": str(tmp_path / "s.yaml")}}, "budget": budget}
    (tmp_path / ".bessemer" / "config.yaml").write_text(json.dumps(config))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    assert _frame.run(list(arguments), command()) == code
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()] if "--json" in arguments else [], err + out


def caps(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[dict[str, int | None], str]:
    """Caps of a run that would start now, its own under `run`."""
    flags = ["--prior-answer", "work", "--build-backend", "scripted/b", "--eval-backends", "scripted/j"]
    (plan,), told = said(capsys, "refine", "do it", *flags, "--dry-run", "--json", *more)
    return {name if not name.startswith("run:") else "run": cap for name, cap in plan["caps_micro_usd"].items()}, told


def test_a_run_counts_against_its_own_cap_its_day_and_its_account(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert caps(capsys)[0] == {"run": 2_000_000, TODAY: 5_000_000}
    assert caps(capsys, "--budget-account", "team")[0] == {
        "run": 2_000_000,
        TODAY: 5_000_000,
        "account:team": 10_000_000,
    }
    assert caps(capsys, "--budget-account", "open", "--cost-budget", "1")[0] == {
        "run": 1_000_000,
        TODAY: 5_000_000,
        "account:open": None,
    }


def test_an_account_that_nobody_opened_is_refused_and_can_be_opened(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["refine", "do it", "--prior-answer", "work", "--build-backend", "scripted/b", "--dry-run"]
    _, told = said(capsys, *line, "--budget-account", "tame", code=2)
    assert "no account 'tame' (known: open, team)" in told
    assert "bessemer budget set account:tame USD" in told
    said(capsys, "budget", "set", "account:tame", "3")
    assert caps(capsys, "--budget-account", "tame")[0]["account:tame"] is None, "the ledger's own cap is kept"
    (scope,), _ = said(capsys, "budget", "show", "--json")
    assert (scope["scope"], scope["cap"], scope["used"]) == ("account:tame", 3_000_000, 0)
    _, table = said(capsys, "budget", "show")
    assert "left" in table


def test_a_cap_of_the_ledger_holds_against_the_settings_and_it_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "budget", "set", TODAY, "1")
    _, told = caps(capsys)
    assert f"{TODAY} is capped at $1" in told
    assert f"bessemer budget set {TODAY} USD" in told


@pytest.mark.parametrize(
    ("scope", "remedy"),
    [
        ("day:tomorrow", "day:2026-11-21"),
        ("account:", "account:NAME"),
        ("account:a b", "letters, digits"),
        ("team", "account:NAME"),
        ("run:nobody", "budget show"),
    ],
)
def test_a_scope_that_cannot_be_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], scope: str, remedy: str
) -> None:
    _, told = said(capsys, "budget", "set", scope, "1", code=2)
    assert remedy in told


def test_a_day_an_account_and_a_queue_can_be_capped_before_they_are_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for scope, usd in (("day:2030-01-01", "1"), ("account:x", "2"), ("queue:night", "none"), ("account:x", "4")):
        said(capsys, "budget", "set", scope, usd)
    shown, _ = said(capsys, "budget", "show", "--json")
    assert {one["scope"]: one["cap"] for one in shown} == {
        "day:2030-01-01": 1_000_000,
        "account:x": 4_000_000,
        "queue:night": None,
    }


def test_a_resumed_run_keeps_every_cap_it_counts_against(folder: Path) -> None:
    settings = load_settings(cwd=folder)
    home = home_of(settings)
    scopes = {"run:r": 100, "account:team": 1000, "day:2026-01-01": 50}
    plan = {"task": "t", "source": str(folder), "interpreter": "python"}
    with Ledger.open(home.ledger_url) as ledger:
        ledger.apply([opening(caps=scopes, pins={"plan": plan, **versions(settings)}), closing("interrupted")])
        ledger.apply([SetCap(scope="account:team", cap=700, version=2)])
        prepared = prepare_resume(ledger, ledger.run("r"), home, settings, None, "somewhere:1")
    assert prepared.spec.caps == {"run:r": 100, "account:team": 700, "day:2026-01-01": 50}


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"time_zone": "Mars/Base"}, "no time zone"),
        ({"accounts": {"a b": 1}}, "letters, digits"),
        ({"accounts": {"a": -1}}, "budget.accounts"),
        ({"day": "much"}, "budget.day"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder: Path, budget: dict[str, Any], told: str) -> None:
    (folder / ".bessemer" / "config.yaml").write_text(json.dumps({"budget": budget}))
    with pytest.raises(SettingsError, match=told):
        load_settings(cwd=folder)
