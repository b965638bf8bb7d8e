"""What `bessemer --help` promises: every command takes --json, and then only records are on stdout."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from bessemer.cluster.ledger import AddTasks, Doubt, Ledger, NewTask
from bessemer.cluster.settings import settings_schema
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command
from bessemer.pipelines.planning import create, read_document
from tests.ledger._make import Clock, closing, opening, reserving
from tests.planning._plans import SOUND

BILLED_FOR = 90_000
"""Seconds after which no vendor bills a call any more."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a configuration, a user without one, and a machine without a warm cluster."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.delenv("BESSEMER_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return root


@pytest.fixture
def ended(folder: Path) -> Path:
    """The project with a run `r` that failed long ago, with files and a call in doubt, and a queue `night`."""
    files = folder / ".bessemer" / "runs" / "r"
    files.mkdir(parents=True)
    (files / "answer.md").write_text("Yes.\n")
    (files / "outcome.json").write_text(json.dumps({"directory": str(files), "files": ["answer.md"]}))
    clock = Clock(time.time() - BILLED_FOR)
    with Ledger.open(f"sqlite:///{folder / '.bessemer' / 'ledger.db'}", clock=clock) as ledger:
        ledger.apply([opening().model_copy(update={"pipeline": "consensus"}), reserving()])
        ledger.apply([Doubt(attempt="r|s|0|1", reason="the host died"), closing("failed")])
        task = NewTask(key="k", digest="d", title="mend it", priority=0.1, spec={})
        ledger.apply([AddTasks(queue="night", tasks=(task,))])
    return folder


def record_of(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """The one record that a command writes to stdout; people's text has to be on stderr all the same."""
    line = words if "--json" in words else [*words, "--json"]
    assert _frame.run(line, command()) == code
    out, err = capfd.readouterr()
    assert err.strip(), "nothing was said to people"
    assert out.startswith("{") and out.count("\n") == 1, out
    return json.loads(out)


def leaves(one: Any, name: str = "bessemer", above: typer.Context | None = None) -> Iterator[tuple[str, Any]]:
    """Every command below this one that is no group, with the words that call it."""
    with one.make_context(name, [], parent=above, resilient_parsing=True) as context:
        if not isinstance(one, TyperGroup):
            yield context.command_path, one
            return
        for below in one.list_commands(context):
            yield from leaves(one.get_command(context, below), below, context)


def test_every_command_takes_json() -> None:
    found = dict(leaves(command()))
    assert {"bessemer refine", "bessemer budget doubts resolve", "bessemer estimate"} <= set(found)
    assert [path for path, one in found.items() if not any("--json" in option.opts for option in one.params)] == []


def test_init_and_config_use(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.delenv("XAI_API_KEY", raising=False)
    project = str(folder / ".bessemer" / "config.yaml")
    made = record_of(
        capfd, "init", "--agent", "backend=openai", "--agent", "backend=grok,model=grok-4.20-0309-reasoning"
    )
    (problem,) = made.pop("problems")
    assert "XAI_API_KEY" in problem
    judge = "xai/grok-4.20-0309-reasoning"
    assert made == {"path": project, "build_backend": "openai/gpt-5.4", "eval_backends": [judge]}
    assert record_of(capfd, "init", code=2)["event"] == "error"
    other = tmp_path / "other.yaml"
    other.write_text("eval: {backends: [probes]}\n")
    assert record_of(capfd, "config", "use", str(other), "--force") == {"path": project, "source": str(other)}
    assert yaml.safe_load(Path(project).read_text()) == {"eval": {"backends": ["probes"]}}


def test_the_schema_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert record_of(capfd, "config", "schema") == json.loads(json.dumps(settings_schema()))


def test_caps_doubts_and_pruning(ended: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capped = record_of(capfd, "budget", "set", "account:team", "2.50")
    assert capped == {"scope": "account:team", "cap_micro_usd": 2_500_000}
    assert record_of(capfd, "budget", "set", "account:team", "none")["cap_micro_usd"] is None
    words = ("--cost", "0.00005", "--evidence", "invoice 7", "--by", "ann")
    resolved = record_of(capfd, "budget", "doubts", "resolve", "r|s|0|1", *words)
    assert resolved == {"attempt": "r|s|0|1", "cost_micro_usd": 50, "evidence": "invoice 7", "by": "ann"}
    assert record_of(capfd, "ledger", "prune", "--older-than", "1h") == {"erased_runs": 1}


def test_runs(ended: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cancelled = record_of(capfd, "run", "cancel", "r")
    assert "not under way" in cancelled.pop("message")
    assert cancelled == {"run": "r", "before": "failed", "status": "failed"}
    exported = record_of(capfd, "run", "export", "r", "--to", "out")
    assert exported == {"run": "r", "to": str(ended / "out"), "files": 1}
    assert record_of(capfd, "run", "delete", "r", "--yes") == {"run": "r", "deleted": True}
    assert record_of(capfd, "run", "delete", "zzz", "--yes", code=2)["event"] == "error"


def test_what_is_stopped_merged_and_ended(ended: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert record_of(capfd, "queue", "stop", "--queue", "night") == {"queue": "night", "stopped": True}
    assert record_of(capfd, "queue", "resume", "--queue", "night") == {
        "queue": "night",
        "stopped": False,
        "removed": [],
    }
    assert record_of(capfd, "lake", "compact") == {"replaced": 0, "deleted": None}
    assert record_of(capfd, "lake", "compact", "--vacuum", "200") == {"replaced": 0, "deleted": 0}
    assert record_of(capfd, "cluster", "down") == {"was_up": False}
    assert "'b1'" in record_of(capfd, "batch", "cancel", "b1", code=2)["message"]


def test_a_question_is_not_on_stdout(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "plan.json").write_text(json.dumps(SOUND))
    plan = create(folder / ".bessemer" / "plans", read_document(folder / "plan.json"))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\ny\n"))
    assert _frame.run(["plan", "delete", plan.id, "--json"], command()) == 130
    out, err = capfd.readouterr()
    assert (out, plan.path.exists()) == ("", True)
    assert "Delete" in err
    exported = record_of(capfd, "plan", "tasks", plan.id, "--to", "tasks.json")
    tasks = json.loads((folder / "tasks.json").read_text())["tasks"]
    assert exported == {"to": str(folder / "tasks.json"), "tasks": len(tasks)}
    assert tasks
    assert record_of(capfd, "plan", "delete", plan.id) == {"plan": plan.id, "deleted": True}
    assert not plan.path.exists()


@pytest.mark.parametrize("makes_it", [True, False])
def test_what_an_agent_says_at_its_login_is_not_on_stdout(
    folder: Path, makes_it: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    program = folder / "agent"
    deed = "mkdir .codex && echo '{}' > .codex/auth.json" if makes_it else "true"
    program.write_text(f"#!/bin/sh\necho open this page\n{deed}\n")
    program.chmod(0o755)
    agents = {"login_dir": str(folder / "logins"), "codex": {"program": str(program)}}
    (folder / "it.yaml").write_text(yaml.safe_dump({"backends": {"agents": agents}}))
    code = 0 if makes_it else 2
    logged = record_of(capfd, "backend", "login", "codex", "-c", "it.yaml", code=code)
    assert logged == {"agent": "codex", "logged_in": makes_it, "exit_code": code}


@pytest.mark.parametrize("words", [["--json", "evaluate", "."], ["evaluate", ".", "--json"]])
def test_an_estimate_is_a_record_wherever_json_stands(
    words: list[str], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "work.md").write_text("# Work\n")
    shown = record_of(capfd, "estimate", *words, "--eval-backends", "probes", "--probe", "true")
    assert shown["estimate"]["worst"] == 0
