"""Plans, specifications, criteria and steps from the command line, as far as nothing has to run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bessemer.interfaces._session_files import agent_of, query_of
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command

TASK = {"id": "F1", "chunk": "C1", "description": "x is made", "metadata": {"verification": "x is there"}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scenario.yaml").write_text("rules: []\ndefault: {text: done}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BESSEMER_SCENARIO", str(tmp_path / "scenario.yaml"))
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "XAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*words: str) -> int:
    return _frame.run(list(words), command())


def put(name: str, data: object) -> str:
    Path(name).write_text(data if isinstance(data, str) else json.dumps(data))
    return name


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(*words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "show"], "there is no plan"),
        (["plan", "run", "--build-backend", "scripted/b"], "there is no plan"),
        (["plan", "new", "x"], "no model is named that can write this"),
        (["plan", "new", " ", "--backend", "scripted/j"], "there is no text"),
        (["plan", "new", "x", "--backend", "nosuch/model"], "unknown backend"),
        (["plan", "new", "x", "--backend", "scripted/j", "--depth", "abyss"], "no depth 'abyss'"),
        (["plan", "new", "x", "--backend", "scripted/j", "--context", "none.md"], "none.md cannot be read"),
        (["plan", "new", "x", "--backend", "embedded/qwen2.5-coder-1.5b"], "no model is named that can write"),
        (["spec", "new", "x", "--backend", "openai/gpt-5.4"], "OPENAI_API_KEY"),
        (["spec", "new", "x", "--backend", "scripted/j", "--criteria-preset", "nosuch"], "the presets are"),
        (["criteria", "preset", "show", "nosuch"], "no criteria preset 'nosuch'"),
        (["criteria", "preset", "generate", "x"], "no model is named"),
        (["step", "--session-dir", "s", "--agent-id", "../x", "--automation", "p"], "is no agent id"),
        (["step", "--session-dir", "s", "--agent-id", "a", "--backend", "scripted/a"], "there is no task"),
        (["step", "--session-dir", "s", "--agent-id", "a", "--automation", "p", "--policy", "odd"], "no policy 'odd'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert said in refused(capsys, *words)


def test_a_plan_with_problems_is_refused_with_all_of_them(capsys: pytest.CaptureFixture[str]):
    put("p.json", {"tasks": [{**TASK, "depends_on": ["F1", "F9"]}, TASK]})
    said = refused(capsys, "plan", "adopt", "p.json")
    assert "has 3 problems" in said and "F1: is the id of 2" in said and "'F9'" in said
    assert not Path(".bessemer/plans").exists()


def test_a_finished_plan_is_not_run(capsys: pytest.CaptureFixture[str]):
    put("p.json", {"tasks": [{**TASK, "status": "verified"}]})
    assert run("plan", "adopt", "p.json") == 0
    flags = ["--build-backend", "scripted/b", "--eval-backends", "scripted/j"]
    assert "every task" in refused(capsys, "plan", "run", *flags)


def test_a_plan_goes_through_its_commands(capsys: pytest.CaptureFixture[str]):
    put("p.json", {"tasks": [TASK, {**TASK, "id": "F2", "depends_on": ["F1"]}]})
    assert run("plan", "adopt", "p.json", "--goal", "make x") == 0
    (path,) = Path(".bessemer/plans").glob("plan_*")
    capsys.readouterr()
    assert run("plan", "diff") == 0
    living = json.loads((path / "workspace" / "plan.json").read_text())
    living["tasks"][1]["description"] = "y is made"
    put(str(path / "workspace" / "plan.json"), living)
    assert run("plan", "diff", path.name) == 1
    assert "~ F2.description: x is made -> y is made" in capsys.readouterr().out
    assert run("plan", "checkpoint", "--reason", "before lunch") == 0
    assert run("plan", "adopt", path.name[:12]) == 0
    assert run("plan", "diff") == 0
    assert run("plan", "tasks", "--to", "tasks.json") == 0
    assert [one["id"] for one in json.loads(Path("tasks.json").read_text())["tasks"]] == ["F1", "F2"]
    capsys.readouterr()
    assert run("plan", "status", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["plan_revision"] == 2 and record["tasks"] == {"pending": 2}
    assert [one["event_type"] for one in record["events"]] == ["created", "checkpoint", "adopted"]
    assert run("plan", "run", "--dry-run", "--build-backend", "scripted/b", "--eval-backends", "scripted/j") == 0
    assert run("plan", "delete", path.name, "--yes") == 0
    assert not path.exists()


def test_presets_are_listed_shown_and_usable_as_files(capsys: pytest.CaptureFixture[str]):
    assert run("criteria", "preset", "list", "--json") == 0
    names = [json.loads(line)["preset"] for line in capsys.readouterr().out.splitlines()]
    for name in names:
        assert run("criteria", "preset", "show", name, "--json") == 0
        put("c.json", capsys.readouterr().out)
        assert run("criteria", "preset", "validate", "c.json") == 0
        capsys.readouterr()
    put("bad.json", [{"text": ""}, {"text": "a", "category": "odd"}])
    assert run("criteria", "preset", "validate", "c.json", "bad.json") == 2
    assert capsys.readouterr().err.count("bad.json:") == 2


def test_specifications_are_checked_line_by_line(capsys: pytest.CaptureFixture[str]):
    line = {"id": "R1", "chunk": "C1", "title": "t", "ears": "The system shall run", "verification": "run it"}
    put("s.json", {"feature": "f", "requirements": [line]})
    put("bad.json", {"feature": "f", "requirements": [{**line, "ears": "It should run"}]})
    assert run("spec", "check", "s.json") == 0
    assert run("spec", "check", "s.json", "bad.json") == 2
    assert "R1.ears: is no EARS sentence: it says 'should'" in capsys.readouterr().err


def test_a_file_names_one_agent(folder: Path):
    put("a.yaml", "agents: [{id: x, backend: {type: gemini, model: gemini-3-flash}}]\n")
    assert agent_of(Path("a.yaml")) == ("x", "google/gemini-3-flash")
    put("b.yaml", "agent: {id: y, backend: openai/gpt-5.4}\n")
    assert agent_of(Path("b.yaml")) == ("y", "openai/gpt-5.4")
    put("c.yaml", "refine: {max_rounds: 2}\n")
    assert agent_of(Path("c.yaml")) is None
    put("config.json", "[1")
    assert query_of(folder) == ""


@pytest.mark.parametrize("text", ["agents: []\n", "agents: [{id: a}, {id: b}]\n", "agents: [{id: a}]\n", "agents: [\n"])
def test_a_file_that_names_no_single_agent_is_refused(text: str, capsys: pytest.CaptureFixture[str]):
    put("a.yaml", text)
    assert "a.yaml" in refused(capsys, "step", "--session-dir", "s", "--config", "a.yaml", "--automation", "p")
