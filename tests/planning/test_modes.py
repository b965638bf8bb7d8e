"""What a model is asked for a document, and how its answer is read, corrected once, and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.asking import Asked, Read, ask_checked
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.pipelines.planning import PLAN_MODE, SPEC_MODE, Mode, read_document
from tests.planning._scenario import CYCLE, SOUND, task_answer

MODES: list[Mode] = [PLAN_MODE, SPEC_MODE]
LINE = {
    "id": "REQ-001", "chunk": "C01", "title": "saves", "priority": "P0", "type": "functional",
    "ears": "The editor shall save", "rationale": "", "verification": "save", "depends_on": [],
}  # fmt: skip
SPEC = {"feature": "Notes", "overview": "", "requirements": [LINE]}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_field_is_required_so_that_no_provider_needs_defaults(mode: Mode):
    schema = mode.output_schema
    for shape in (schema, *schema["$defs"].values()):
        assert set(shape["required"]) == set(shape["properties"])
        assert shape["additionalProperties"] is False
    assert "<<<" in mode.instructions and len(mode.instructions) > 500


def test_sound_answers_are_written_as_files_that_are_read_again(tmp_path: Path):
    for mode, answer in ((PLAN_MODE, SOUND), (SPEC_MODE, SPEC)):
        assert mode.check(answer) == []
        files = mode.files(answer)
        assert files.keys() == {"result.md", f"project_{mode.name}.json"}
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        assert read_document(tmp_path / f"project_{mode.name}.json")
    task = json.loads((tmp_path / "project_plan.json").read_text())["tasks"][0]
    assert set(task) == {
        "id", "chunk", "task_type", "description", "status", "depends_on", "priority", "success_criteria", "metadata"
    }  # fmt: skip
    assert task["status"] == "pending"


@pytest.mark.parametrize(
    ("mode", "answer", "said"),
    [
        (PLAN_MODE, CYCLE, "is in a cycle (F001 -> F002 -> F001)"),
        (PLAN_MODE, {"tasks": []}, "tasks: is empty"),
        (PLAN_MODE, None, "answer: "),
        (PLAN_MODE, {"tasks": [{**task_answer("A", "C1"), "task_type": "magic"}]}, "tasks.0.task_type"),
        (SPEC_MODE, {**SPEC, "feature": ""}, "feature: is empty"),
        (SPEC_MODE, {**SPEC, "requirements": [{**LINE, "ears": "saves"}]}, "REQ-001.ears: is no EARS sentence"),
        (SPEC_MODE, {**SPEC, "verdict": "converged"}, "verdict"),
    ],
)
def test_what_is_wrong_is_named_by_field(mode: Mode, answer: Any, said: str):
    assert any(said in one for one in mode.check(answer)), mode.check(answer)
    with pytest.raises(ValueError, match="has problems"):
        mode.files(answer)


class Script:
    """Answers given in order; keeps what it was asked."""

    def __init__(self, *answers: Reply | CallFailure) -> None:
        self.answers = list(answers)
        self.asked: list[ModelRequest] = []

    async def call(self, request: ModelRequest) -> Reply | CallFailure:
        self.asked.append(request)
        return self.answers.pop(0)


def said(data: Any, **more: Any) -> Reply:
    message = {"kind": "response", "parts": [{"part_kind": "text", "content": json.dumps(data)}]}
    return Reply(data=data, message=message, **more)


async def ask(*answers: Reply | CallFailure) -> tuple[Asked[int], Script]:
    def read(data: Any) -> Read[int]:
        return Read(data) if data == 7 else Read(None, [f"value: is {data}", "value: give 7"])

    script = Script(*answers)
    request = ModelRequest(backend="scripted/x", prompt="which?", output_schema={})
    return await ask_checked(script, request, read), script


async def test_the_repair_turn_shows_the_answer_and_every_problem():
    asked, script = await ask(said(3), said(7))
    assert asked.value == 7 and len(script.asked) == 2
    history = json.dumps(script.asked[1].history)
    assert "which?" in history and "value: is 3" in history and "value: give 7" in history
    assert [one["kind"] for one in script.asked[1].history] == ["request", "response", "request"]


async def test_there_is_one_repair_turn():
    asked, script = await ask(said(3), said(4), said(7))
    assert asked.value is None and len(script.asked) == 2
    assert asked.why == "value: is 4; value: give 7" and asked.data == 4


async def test_failures_are_values():
    lost = CallFailure(kind="overloaded", message="busy")
    broken = CallFailure(kind="malformed_output", message="no JSON")
    asked, script = await ask(lost)
    assert asked.failure == lost and len(script.asked) == 1 and asked.why == "overloaded: busy"
    asked, script = await ask(broken, said(7))
    assert asked.value == 7
    asked, _ = await ask(said(None, finish="refusal"), broken)
    assert asked.value is None and "refusal" in asked.why
    asked, _ = await ask(said(3), lost)
    assert asked.problems and asked.value is None
