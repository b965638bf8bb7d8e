"""A scenario of two rounds, several turns, parallel builders and every persona, with time to be killed in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ADDED = "def add(a, b):\n    return a + b\n"
DOUBLED = "def double(a):\n    return a * 2\n"
SECONDS = 0.25


def write_scenario(path: Path, *, latency: float = SECONDS) -> None:
    """Write the scenario that `write_project`'s defects are repaired by."""
    rules = [_build_rule(match, calls) for match, calls in _turns()]
    rules += [
        {"match": {"persona": "criteria-writer"}, "answer": {"data": _criteria()}},
        {"match": {"persona": "round-evaluator", "text": r"return a \* 2"}, "answer": {"data": _evaluation(9, None)}},
        {"match": {"persona": "round-evaluator"}, "answer": {"data": _evaluation(4, _next_tasks())}},
        {"match": {"persona": "execution-trace-analyzer"}, "answer": {"data": _process()}},
        {"match": {"persona": "regression-guard"}, "answer": {"data": _comparison()}},
    ]
    for rule in rules:
        rule["answer"]["latency"] = latency
    path.write_text(yaml.safe_dump({"rules": rules, "default": {"text": "done", "latency": latency}}, sort_keys=False))


def _build_rule(match: dict[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"match": {"purpose": "build", **match}, "answer": {"tool_calls": calls}}


def _turns() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    finish = _call("finish", changes_made="as asked", spec_compliance=[], verification="the tests", remaining_gaps="")
    return [
        ({"text": "repair-double", "turn": 1}, [_call("read_file", path="calc.py")]),
        ({"text": "repair-double", "turn": 2}, [_edit("    return a\n", "    return a * 2\n")]),
        ({"text": "write-notes", "turn": 1}, [_call("write_file", path="DONE.md", content="# Done\n\nBoth work.\n")]),
        ({"text": "write-notes", "turn": 2}, [finish]),
        ({"turn": 1}, [_call("read_file", path="calc.py"), _call("list_files", folder=".")]),
        ({"turn": 2}, [_edit("    return a - b\n", "    return a + b\n")]),
        ({"turn": 3}, [finish]),
    ]


def _edit(old: str, new: str) -> dict[str, Any]:
    return _call("edit_file", path="calc.py", old=old, new=new)


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _criteria() -> dict[str, Any]:
    anchors = {"three": "most fail", "five": "half fail", "seven": "all pass", "nine": "all pass and it reads well"}
    texts = ("Every function returns what its name promises", "The code reads well", "A note says what was done")
    return {
        "aspiration": "Small and right.",
        "criteria": [
            {
                "id": f"E{number}",
                "text": text,
                "category": "must" if number == 1 else "should",
                "probe": "pytest" if number == 1 else "",
                "verify_by": "run the tests",
                "anti_patterns": ["a result that is off"],
                "score_anchors": anchors,
            }
            for number, text in enumerate(texts, start=1)
        ],
    }


def _evaluation(score: int, next_tasks: dict[str, Any] | None) -> dict[str, Any]:
    scores = [
        {"criterion": f"E{number}", "score": score, "reason": "as measured", "evidence": "def add(a, b):"}
        for number in (1, 2, 3)
    ]
    finding = {
        "title": "double does not double",
        "body": "It returns its argument.",
        "severity": "major",
        "klass": "correctness",
        "criterion": "E1",
        "file": "calc.py",
        "evidence": "def double(a):",
    }
    return {
        "criteria_interpretation": "Right results come first.",
        "scores": scores,
        "findings": [finding] if next_tasks else [],
        "preserve": [{"criterion": "E1", "what": "add"}],
        "unexplored": [],
        "evidence_gaps": [],
        "next_tasks": next_tasks,
    }


def _next_tasks() -> dict[str, Any]:
    return {
        "objective": "double doubles",
        "primary_strategy": "repair one function",
        "why_this_strategy": "one is left",
        "strategy_mode": "incremental_refinement",
        "incremental_override_reason": "one defect is left",
        "success_contract": {
            "outcome_statement": "all tests pass",
            "quality_bar": "no test fails",
            "fail_if_any": ["a test fails"],
            "required_evidence": ["the tests' output"],
        },
        "ceiling_status": "ceiling_not_reached",
        "ceiling_explanation": "",
        "breakthroughs": [],
        "paradigm_shift": {
            "recommended": False,
            "current_limitation": "",
            "alternative_approach": "",
            "transferable_elements": [],
        },
        "deprioritize_or_remove": [],
        "fix_tasks": [_task("repair-double", "calc.py")],
        "evolution_tasks": [_task("write-notes", "DONE.md")],
    }


def _task(name: str, file: str) -> dict[str, Any]:
    return {
        "id": name,
        "description": f"{name}: do it in {file}",
        "implementation_guidance": "Change one thing.",
        "priority": "high",
        "strategy_role": "supporting_fix",
        "impact": "structural",
        "depends_on": [],
        "relates_to": ["E1"],
        "files": [file],
        "verification": "run the tests",
        "success_criteria": "the tests pass",
        "failure_signals": ["a test fails"],
        "required_evidence": ["the tests' output"],
    }


def _process() -> dict[str, Any]:
    return {
        "scores": [{"aspect": f"E{number}", "score": 7} for number in range(1, 8)],
        "execution_overview": "Steady.",
        "key_learnings": ["run the tests before handing in"],
        "error_patterns": [],
        "wasted_effort": [],
        "effective_patterns": [],
        "recommendations": [],
        "avoidable_errors": 0,
    }


def _comparison() -> dict[str, Any]:
    dimension = {
        "criterion": "E1",
        "answer_a_score": 7,
        "answer_b_score": 7,
        "stronger": "equivalent",
        "difference": "marginal",
        "evidence": "def add(a, b):",
    }
    return {"summary": "Alike.", "dimensions": [dimension | {"criterion": f"E{number}"} for number in (1, 2, 3)]}
