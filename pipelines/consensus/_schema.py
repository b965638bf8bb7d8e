"""The form of an agent's reply: one JSON schema that every vendor takes, and checks that a schema cannot make."""

from __future__ import annotations

from typing import Any

from bessemer.cluster.json_schema import schema_errors
from bessemer.pipelines.consensus._modes import tidy
from bessemer.pipelines.planning import Mode


def reply_schema(answer: dict[str, Any], labels: tuple[str, ...], criteria: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a turn. Without `labels` there is nothing to vote for yet."""
    answer = dict(answer)
    shared = answer.pop("$defs", None)
    fields: dict[str, Any] = {
        "action": {"type": "string", "enum": ["answer", *(["vote"] if labels else []), "abstain"]},
        "reason": {"type": "string"},
        "answer": {"anyOf": [answer, {"type": "null"}]},
    }
    if labels:
        rating = _object(
            {
                "answer": {"type": "string", "enum": list(labels)},
                "criterion": {"type": "string", "enum": list(criteria)},
                "score": {"type": "integer"},
            }
        )
        fields |= {
            "vote": {"anyOf": [{"type": "string", "enum": list(labels)}, {"type": "null"}]},
            "ranking": {"type": "array", "items": {"type": "string", "enum": list(labels)}},
            "ratings": {"type": "array", "items": rating},
        }
    return {**_object(fields), **({"$defs": shared} if shared else {})}


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def reply_problems(data: Any, mode: Mode, labels: tuple[str, ...], criteria: tuple[str, ...]) -> list[str]:
    """What is wrong with a reply, each `field: what`."""
    if data is None:
        return ["reply: is no JSON object; answer with one and nothing else"]
    schema = reply_schema(mode.output_schema, labels, criteria)
    if broken := schema_problems(data, schema):
        return broken
    action = data["action"]
    if action == "answer":
        return ["answer: is null"] if data["answer"] is None else [*mode.check(tidy(data["answer"]))]
    if action == "vote":
        return _vote_problems(data)
    return []


def _vote_problems(data: Any) -> list[str]:
    problems = [] if data["vote"] is not None else ["vote: is null; name the answer that you vote for"]
    ranking = data["ranking"]
    if len(set(ranking)) != len(ranking):
        problems.append("ranking: names an answer twice")
    if ranking and data["vote"] is not None and ranking[0] != data["vote"]:
        problems.append(f"ranking: begins with {ranking[0]}, but the vote is for {data['vote']}")
    pairs = [(one["answer"], one["criterion"]) for one in data["ratings"]]
    problems += [
        f"ratings[{n}].score: {one['score']} is not 1 to 10"
        for n, one in enumerate(data["ratings"])
        if not 1 <= one["score"] <= 10
    ]
    doubled = dict.fromkeys(pair for pair in pairs if pairs.count(pair) > 1)
    return problems + [f"ratings: {answer} is rated twice by {criterion}" for answer, criterion in doubled]


def schema_problems(data: Any, schema: dict[str, Any]) -> list[str]:
    """Where a value breaks its schema, at most ten places."""
    errors = sorted(schema_errors(data, schema), key=lambda error: str(error.json_path))
    deepest = [min(error.context, key=_shallow) if error.context else error for error in errors[:10]]
    return [f"{_where(error)}: {' '.join(str(error.message).split())[:200]}" for error in deepest]


def _shallow(error: Any) -> tuple[bool, int]:
    # Of several alternatives the one that is no null is what was meant.
    return error.validator == "type" and error.schema.get("type") == "null", -len(error.absolute_path)


def _where(error: Any) -> str:
    return error.json_path.removeprefix("$.").removeprefix("$") or "reply"
