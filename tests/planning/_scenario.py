"""A scenario in which a plan is written (wrongly first), carried out, re-planned, and where agents answer and vote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.crash._scenario import _call, _evaluation, _next_tasks, _process, write_scenario

FINISH = _call("finish", changes_made="as asked", spec_compliance=[], verification="tests", remaining_gaps="")


def task_answer(name: str, chunk: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "chunk": chunk,
        "task_type": "deterministic",
        "description": f"{name} writes {name}.md",
        "depends_on": list(needs),
        "priority": "medium",
        "success_criteria": [],
        "verification": f"{name}.md is there",
        "verification_method": "look",
        "verification_group": "",
        "evolution_hooks": [],
        "eval_checkpoint": False,
        **more,
    }


def plan_answer(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"tasks": list(tasks)}


SOUND = plan_answer(task_answer("F001", "C01_base"), task_answer("F002", "C02_more", "F001", eval_checkpoint=True))
CYCLE = plan_answer(task_answer("F001", "C01_base", "F002"), task_answer("F002", "C01_base", "F001"))


def scores(count: int, score: int, next_tasks: dict[str, Any] | None = None) -> dict[str, Any]:
    """An evaluation of work with `count` criteria."""
    found = _evaluation(score, next_tasks)
    found["findings"] = []
    found["scores"] = [
        {"criterion": f"E{number}", "score": score, "reason": "as seen", "evidence": ""}
        for number in range(1, count + 1)
    ]
    return found


def next_tasks(ceiling: str = "ceiling_not_reached", *, tasks: bool = True) -> dict[str, Any]:
    found = _next_tasks() | {"ceiling_status": ceiling, "ceiling_explanation": "it goes no further this way"}
    if not tasks:
        found |= {"fix_tasks": found["fix_tasks"][:1], "evolution_tasks": []}
    return found


def write(path: Path, rules: list[dict[str, Any]]) -> None:
    """The rules given, before builders that write one file a turn and reviewers of process."""
    rest = [
        {"match": {"purpose": "build", "turn": 1}, "answer": {"tool_calls": [_note()]}},
        {"match": {"purpose": "build"}, "answer": {"tool_calls": [FINISH]}},
        {"match": {"persona": "execution-trace-analyzer"}, "answer": {"data": _process()}},
        {
            "match": {"persona": "regression-guard"},
            "answer": {"data": {"summary": "Alike.", "dimensions": []}},
        },
    ]
    write_scenario(path)
    path.write_text(yaml.safe_dump({"rules": [*rules, *rest], "default": {"text": "done"}}, sort_keys=False))


def _note() -> dict[str, Any]:
    return _call("write_file", path="NOTE.md", content="# Note\n\nDone as planned.\n")
