"""A task takes every flag of `bessemer refine` that makes sense unattended, on the command line and in a file alike."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.home import Home
from bessemer.cluster.ledger import ClaimedTask, TaskRow
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import Request
from bessemer.interfaces.cli.queue import add
from bessemer.interfaces.cli.refine import refine
from bessemer.interfaces.queue._entries import ATTENDED, MOST_RECORDINGS, Entry
from bessemer.interfaces.queue._spec import home_for
from tests.queue._folder import FLAGS, tasks, told

OF_THE_COMMAND = {"tasks", "from_", "queue", "again", "config", "no_sandbox", "as_json"}
"""Parameters of `queue add` that are about the command, not about a task."""
FULL: dict[str, Any] = {
    "task": "t",
    "key": "k",
    "prior_answer": "a.py",
    "criteria": "E1: a",
    "criteria_file": "c.yaml",
    "criteria_preset": "default",
    "evolve_criteria": True,
    "probe": ["true"],
    "max_rounds": 7,
    "builders": 5,
    "candidates": 6,
    "build_backend": "scripted/b",
    "eval_backends": ["scripted/j", "scripted/k"],
    "massgen_orchestrated": True,
    "cost_budget": "3",
    "budget_account": "team",
    "time_budget": "2h",
    "overnight": True,
    "priority": 2.5,
    "python": sys.executable,
    "record": "recording",
}


def test_every_flag_of_refine_is_one_of_add_or_refused_there_with_a_reason() -> None:
    of_refine, of_add = (inspect.signature(one).parameters for one in (refine, add))
    assert set(of_refine) - {"task"} <= set(of_add)
    assert set(of_refine) >= set(ATTENDED)
    assert set(of_add) - OF_THE_COMMAND - set(ATTENDED) == set(Entry.model_fields) - {"task", "key"}


def test_every_flag_of_a_task_reaches_what_refine_would_be_asked() -> None:
    assert set(FULL) == set(Entry.model_fields)
    asked, plain = Entry.model_validate(FULL).request(0.1), Request()
    same = {name for name in vars(plain) if getattr(asked, name) == getattr(plain, name)}
    assert same == {"confirm_criteria", "confirm_each_round", "cwd"}


def _words(values: dict[str, Any]) -> list[str]:
    words = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [flag, *(value if isinstance(value, list) else [str(value)])]
    return words


@pytest.mark.parametrize(
    "without",
    [
        ("criteria_file", "criteria_preset", "overnight"),
        ("criteria", "criteria_preset", "record"),
        ("criteria", "criteria_file", "record"),
    ],
)
def test_flags_of_the_command_and_of_a_line_make_the_same_task(
    folder: Path, capsys: pytest.CaptureFixture[str], without: tuple[str, ...]
) -> None:
    (folder / "c.yaml").write_text("- {id: E1, text: it is short}\n")
    assert told(capsys, "budget", "set", "account:team", "9")[0] == 0
    values = {name: value for name, value in FULL.items() if name not in ("task", "key", *without)}
    code, _, err = told(capsys, "queue", "add", "t", *_words(values))
    assert code == 0, err
    (folder / "tasks.jsonl").write_text(json.dumps({"task": "t", **values}))
    code, out, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", "--json")
    assert (code, json.loads(out)["event"]) == (0, "already_there"), err


def test_the_flags_that_came_later_steer_the_plan(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--build-backend", "scripted/b", "--eval-backends", "scripted/j", "scripted/k", "--probe", "true"]
    (folder / "tasks.jsonl").write_text(
        '{"task": "plain"}\n{"task": "raised", "evolve-criteria": true}\n'
        '{"task": "one judge", "massgen_orchestrated": true}\n{"task": "recorded", "record": "recording"}\n'
    )
    code, _, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *common)
    assert code == 0, err
    spec = {row.title: row.spec for row in tasks(folder)}
    assert {title: one["plan"]["evolve_criteria"] for title, one in spec.items()} == {
        title: title == "raised" for title in spec
    }
    assert [len(spec[one]["plan"]["more_judges"]) for one in ("plain", "one judge")] == [1, 0]
    assert {title: one.get("record") for title, one in spec.items() if "record" in one} == {
        "recorded": str(folder / "recording")
    }


@pytest.mark.parametrize("name", ATTENDED)
def test_what_makes_no_sense_unattended_is_refused_with_a_reason(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    flag = "--" + name.replace("_", "-")
    code, out, err = told(capsys, "queue", "add", "t", *FLAGS, flag, *(["here"] if name == "address" else []))
    assert (code, out) == (2, "")
    assert f"{flag} is no flag of a task: {ATTENDED[name]}" in err
    (folder / "tasks.jsonl").write_text(json.dumps({"task": "t", name: True}))
    code, _, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS)
    assert (code, f"tasks.jsonl:1: {name!r} is no flag of a task: {ATTENDED[name]}" in err) == (2, True), err
    assert tasks(folder) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"task": "t", "record": "r", "overnight": true}'], ":1: record writes down live calls only"),
        (['{"task": "t", "record": "a.py"}'], ":1: cannot write"),
        ([f'{{"task": "t", "record": "r{n}"}}' for n in range(MOST_RECORDINGS + 1)], "name at most 4"),
    ],
)
def test_a_recording_that_cannot_be_made_is_refused_when_the_task_is_added(
    folder: Path, capsys: pytest.CaptureFixture[str], lines: list[str], said: str
) -> None:
    (folder / "tasks.jsonl").write_text("\n".join(lines))
    code, _, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS)
    assert (code in (2, 5), said in err) == (True, True), err
    assert tasks(folder) == []


def test_tasks_that_record_into_one_folder_share_hosts_and_the_others_keep_theirs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "queue", "add", "a", "b", *FLAGS, "--record", "recording")[0] == 0
    assert told(capsys, "queue", "add", "plain", *FLAGS)[0] == 0
    settings = load_settings()
    home = home_of(settings)
    homes = {row.title: home_for(_claimed(row), settings, home) for row in tasks(folder)}
    assert homes["plain"] == home
    assert homes["a"] == homes["b"]
    assert homes["a"].host_namespace != home.host_namespace
    assert _recorded_by(homes["a"]) == str(folder / "recording")
    assert homes["a"].ledger_namespace == home.ledger_namespace


def _claimed(row: TaskRow) -> ClaimedTask:
    return ClaimedTask(task=row.task, run=row.task, title=row.title, spec=row.spec, tries=0)


def _recorded_by(home: Home) -> str:
    return str(home.settings["backends"]["record"])
