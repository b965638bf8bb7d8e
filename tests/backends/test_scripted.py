"""Scenarios: what matches, what it answers, and how a broken one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessagesTypeAdapter

from bessemer.actors.backends import CallContext, current_call, open_backend
from bessemer.actors.backends._scripted import load_scenario
from bessemer.actors.backends.base import Backend, BackendFailure, ModelRequest, Reply, ToolSpec
from bessemer.cluster.backend_settings import BackendSettings, ScriptedSettings
from bessemer.cluster.errors import SettingsError

SCENARIO = """
rules:
  - match: { persona: "guard*", text: "round [23]" }
    answer: { data: { verdict: pass } }
  - match: { tools: true, turn: 1 }
    answer:
      text: I will write
      tool_calls:
        - { name: write, arguments: { path: a.py } }
  - match: { tools: true, turn: 2 }
    answer: { text: finished, usage: { input: 9, output: 3 } }
  - match: { text: flaky }
    times: 2
    answer: { fail: overloaded, retry_after: 1.5 }
  - match: { seed: 7 }
    answer: { text: seven }
default: { text: nothing special }
"""


def opened(tmp_path: Path, text: str = SCENARIO, books: str = "") -> Backend:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return open_backend("scripted/demo", BackendSettings(scripted=ScriptedSettings(scenario=str(path), books=books)))


async def ask(backend: Backend, context: CallContext | None = None, **changes: Any) -> Reply:
    current_call.set(context or CallContext())
    return await backend.request(ModelRequest(backend="scripted/demo", **changes))


async def test_the_first_rule_that_matches_answers(tmp_path: Path) -> None:
    backend = opened(tmp_path)
    guard = CallContext("r|s|0|1", "guard-blind", "compare")
    assert (await ask(backend, guard, prompt="round 2", output_schema={})).data == {"verdict": "pass"}
    assert (await ask(backend, guard, prompt="round 4")).text == "nothing special"
    assert (await ask(backend, prompt="round 2")).text == "nothing special"
    assert (await ask(backend, prompt="x", seed=7)).text == "seven"


async def test_a_tool_loop_knows_its_turn_from_the_history(tmp_path: Path) -> None:
    backend = opened(tmp_path)
    tools = (ToolSpec(name="write", description="", parameters={}),)
    first = await ask(backend, prompt="go", tools=tools)
    assert (first.finish, first.text) == ("tool_calls", "I will write")
    asked = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "go"}]}
    history = ModelMessagesTypeAdapter.validate_python([asked, first.message])
    assert [part.part_kind for part in history[1].parts] == ["text", "tool-call"]
    second = await ask(backend, history=(asked, first.message, asked), tools=tools)
    assert (second.text, second.usage.input, second.finish) == ("finished", 9, "stop")
    again = await ask(opened(tmp_path), prompt="go", tools=tools)
    assert again.message == first.message


async def test_a_scenario_that_was_changed_is_read_again(tmp_path: Path) -> None:
    backend = opened(tmp_path, "default: { text: before }")
    assert (await ask(backend)).text == "before"
    (tmp_path / "scenario.yaml").write_text("default: { text: and after }")
    assert (await ask(backend)).text == "and after"
    (tmp_path / "scenario.yaml").write_text("rules: [")
    with pytest.raises(BackendFailure, match=r"scenario\.yaml:1"):
        await ask(backend)
    (tmp_path / "scenario.yaml").unlink()
    with pytest.raises(BackendFailure, match="cannot read the scenario"):
        await ask(backend)


async def test_a_rule_for_some_attempts_depends_on_the_attempt_alone(tmp_path: Path) -> None:
    for number, fails in ((1, True), (2, True), (3, False), (1, True)):
        backend = opened(tmp_path)
        context = CallContext(f"r|s|0|{number}")
        if fails:
            with pytest.raises(BackendFailure) as caught:
                await ask(backend, context, prompt="flaky")
            assert (caught.value.failure.kind, caught.value.failure.retry_after) == ("overloaded", 1.5)
        else:
            assert (await ask(backend, context, prompt="flaky")).text == "nothing special"


async def test_books_hold_what_was_served_and_nothing_else(tmp_path: Path) -> None:
    books = tmp_path / "books.jsonl"
    backend = opened(tmp_path, books=str(books))
    await ask(backend, CallContext("r|s|0|1"), prompt="a")
    with pytest.raises(BackendFailure):
        await ask(backend, CallContext("r|s|1|1"), prompt="flaky")
    await ask(backend, CallContext("r|s|2|1"), prompt="b")
    entries = [json.loads(line) for line in books.read_text().splitlines()]
    assert [entry["attempt"] for entry in entries] == ["r|s|0|1", "r|s|2|1"]
    request = ModelRequest(backend="scripted/demo", prompt="a")
    assert entries[0]["hash"] == request.request_hash()


async def test_no_rule_and_no_default_is_a_failure_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(BackendFailure, match="no rule of the scenario matches"):
        await ask(opened(tmp_path, "rules: []"), prompt="x")


BROKEN = [
    ("rules:\n  - match: {text: '('}\n    answer: {text: x}\n", "2:13: rules.0.match.text"),
    ("rules:\n  - match: {}\n    answer: {}\n", "3:5: rules.0.answer"),
    ("rules:\n  - answer: {text: x, data: 1}\n", "2:5: rules.0.answer"),
    ("rules:\n  - answer: {fail: sometimes}\n", "2:14: rules.0.answer.fail"),
    ("rules: [\n", "2:1"),
    ("- a\n", "1:1"),
    ("rulez: []\n", "1:1: rulez"),
    ("default: {text: x, latency: -1}\n", "1:20: default.latency"),
    ("a: b: c\n", "1:5"),
    ("\x00", "1:1"),
]


@pytest.mark.parametrize(("text", "where"), BROKEN)
def test_a_broken_scenario_is_told_with_line_and_column(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_scenario(path)
    assert f"broken.yaml:{where}" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_or_binary_scenario_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_scenario(tmp_path / "none.yaml")
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_scenario(tmp_path / "b")
