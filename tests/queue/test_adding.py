"""What can be wrong with a task: one line that names place, value and remedy, and nothing is half-added."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.queue._folder import FLAGS, tasks, told

pytestmark = pytest.mark.usefixtures("folder")
GOOD = '{"task": "one"}'


@pytest.mark.parametrize(
    ("line", "names", "remedy"),
    [
        ("not json", ":2 is not JSON", "one object a line"),
        ("[1]", ":2 is a list", "one object a line"),
        ("{}", "task is missing", '"task"'),
        ('{"task": ""}', "task is ''", "at least 1"),
        ('{"task": "t", "max_round": 3}', "'max_round' is no flag", "max_rounds"),
        ('{"task": "t", "max_rounds": 0}', "max_rounds is 0", "greater than or equal to 1"),
        ('{"task": "t", "max_rounds": true}', "max_rounds is True", "valid integer"),
        ('{"task": "t", "max_rounds": 1e400}', "max_rounds is inf", "integer"),
        ('{"task": "t", "priority": NaN}', "NaN", "one object a line"),
        ('{"task": "t", "priority": -1}', "priority is -1", "greater than 0"),
        ('{"task": "t", "cost_budget": "much"}', "cost_budget is 'much'", "for example 2.50"),
        ('{"task": "t", "time_budget": "soon"}', "time_budget is 'soon'", "90s"),
        ('{"task": "t", "overnight": "yes"}', "overnight is 'yes'", "boolean"),
        ('{"task": "t\\u0000"}', "null character", "take it out"),
        ('{"task": "\\ud800"}', "task is ", "unicode string"),
        ('{"task": "t", "prior_answer": "gone"}', "'gone' does not exist", "give a file or a folder"),
        ('{"task": "t", "build_backend": "nosuch/model"}', "nosuch/model", "give provider/model"),
        ('{"task": "t", "build_backend": "anthropic/claude-opus-4-6"}', "ANTHROPIC_API_KEY", "set"),
        ('{"task": "t", "criteria": "E1: a", "criteria_preset": "default"}', "--criteria-preset", "one way"),
        ('{"task": "t", "criteria_file": "none.yaml"}', "none.yaml", "give the path"),
        ('{"task": "t", "python": "nowhere"}', "nowhere", "give the path"),
        ('{"task": "t", "budget_account": "nobody"}', "no account 'nobody'", "bessemer budget set"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_added(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, names: str, remedy: str
) -> None:
    (folder / "tasks.jsonl").write_text(f"{GOOD}\n{line}\n{GOOD}\n")
    code, out, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS)
    last = err.strip().splitlines()[-1]
    assert (code, out) == (2, "")
    assert last.startswith("error: ")
    assert names in last
    assert remedy in last
    assert "tasks.jsonl:2" in last or "account" in last
    assert tasks(folder) == []


def test_adding_a_file_twice_changes_nothing_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [GOOD, "", GOOD, '"two"', '{"task": "three", "max-rounds": 2, "priority": 4}']
    (folder / "tasks.jsonl").write_text("\ufeff" + "\n".join(lines))
    code, _, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS)
    assert code == 0, err
    assert "4 tasks added" in err
    first = tasks(folder)
    assert [row.title for row in first] == ["three", "one", "one", "two"]
    plan = first[0].spec["plan"]
    assert (plan["max_rounds"], plan["priority"], first[0].priority, first[1].priority) == (2, 4, 4, 0.1)
    code, out, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS, "--json")
    assert code == 0
    assert {json.loads(line)["event"] for line in out.splitlines()} == {"already_there"}
    assert "0 tasks added to queue default; 4 were there already" in err
    assert tasks(folder) == first
    assert told(capsys, "queue", "add", "one", *FLAGS, "--again")[0] == 0
    assert len(tasks(folder)) == 5


def test_a_key_stands_for_one_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "tasks.jsonl"
    path.write_text('{"task": "one", "key": "k"}\n{"task": "two", "key": "k"}\n')
    code, _, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS)
    assert (code, "tasks.jsonl:2: the key 'k' is that of tasks.jsonl:1" in err) == (2, True)
    path.write_text('{"task": "one", "key": "k"}\n')
    assert told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS)[0] == 0
    path.write_text('{"task": "new", "key": "l"}\n{"task": "other", "key": "k"}\n')
    code, _, err = told(capsys, "queue", "add", "--from", "tasks.jsonl", *FLAGS)
    assert (code, "tasks.jsonl:2: the key 'k' is that of another task" in err) == (2, True)
    assert [row.title for row in tasks(folder)] == ["one"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add"], "no task was given"),
        (["add", "t", "--queue", "a b"], "no usable name"),
        (["add", "--from", "none.jsonl"], "--from 'none.jsonl' cannot be read"),
        (["run"], "there is no queue 'default'"),
        (["report"], "there is no queue 'default'"),
        (["stop"], "there is no queue 'default'"),
        (["remove", "x"], "has no task 'x'"),
        (["list", "--state", "lost"], "--state 'lost' is none"),
    ],
)
def test_what_else_is_refused(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    code, out, err = told(capsys, "queue", *words)
    assert (code, out) == (2, ""), err
    assert said in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--until", "25:00"], "--until '25:00' is no time"),
        (["--until", "soon"], "--until 'soon' is no time"),
        (["--until", "2020-01-01T07:00"], "has passed"),
        (["--until", "2020-01-01"], "is no time"),
        (["--cost-budget", "0"], "--cost-budget '0'"),
        (["--parallel", "1025"], "--parallel is '1025'"),
    ],
)
def test_a_wrong_night_is_refused_before_it_begins(
    capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert told(capsys, "queue", "add", "t", *FLAGS)[0] == 0
    code, _, err = told(capsys, "queue", "run", *flags)
    assert (code, said in err) == (2, True), err


def test_tasks_are_listed_removed_and_put_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "queue", "add", "one", "two", *FLAGS)[0] == 0
    one, two = (row.task for row in tasks(folder))
    assert told(capsys, "queue", "remove", one)[0] == 0
    code, _, err = told(capsys, "queue", "remove", one)
    assert (code, "it is cancelled" in err) == (2, True)
    listed = told(capsys, "queue", "list", "--json", "--state", "cancelled")[1].splitlines()
    assert [json.loads(line)["event"] for line in listed] == ["queue", "task"]
    assert told(capsys, "queue", "resume", one)[0] == 0
    assert {row.state for row in tasks(folder)} == {"queued"}
    assert "is the start of 2 tasks" in told(capsys, "queue", "remove", "default-")[2]
    assert told(capsys, "queue", "report", "--to", "out")[0] == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["report.html", "report.json", "report.md"]
    assert two in (folder / "out" / "report.json").read_text()
