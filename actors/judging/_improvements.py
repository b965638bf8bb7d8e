"""After an `iterate`: what is to be improved, checked for covering what failed and for being more than polish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bessemer.actors.judging._checklist import ChecklistVerdict
from bessemer.actors.judging.types import Impact

TOOL_NAMES = ("propose_improvements", "draft_approach")
"""Both names of the one tool."""
_WORD = {"improvements": "plan", "preserve": "what"}
_FRESH = {"fresh", "new"}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Improvement(_Frozen):
    """One thing to do about one criterion."""

    plan: str = Field(min_length=1)
    impact: Impact = "incremental"
    sources: tuple[str, ...] = ()
    """Labels of the answers it builds on; `fresh` for a new beginning."""


class Kept(_Frozen):
    """Something that must not be lost."""

    what: str = Field(min_length=1)
    source: str = ""


class ApproachTask(_Frozen):
    type: Literal["vision", "improve", "verify_preserve"]
    criterion_id: str = ""
    plan: str
    impact: Impact = "incremental"
    sources: tuple[str, ...] = ()


class Approach(_Frozen):
    """The result: a task plan, or what is missing."""

    status: Literal["accepted", "error"]
    valid: bool
    message: str
    missing_criteria: tuple[str, ...] = ()
    empty_criteria: tuple[str, ...] = ()
    failed_criteria: tuple[str, ...] = ()
    improvements_count: int = 0
    non_incremental_count: int = 0
    task_plan: tuple[ApproachTask, ...] = ()


def check_approach(
    tool: str,
    improvements: Any,
    verdict: ChecklistVerdict | None,
    *,
    preserve: Any = None,
    vision: str = "",
    known: Sequence[str] = (),
) -> Approach:
    """Check `improvements` (`{criterion: [{plan, impact?, sources?}]}`) and `preserve` (`{criterion: [{what}]}`).

    Every failed criterion needs an entry, one entry at least has to be structural or transformative, and what is good
    has to be named unless all of it is a new beginning. `known` are the ids of all criteria.
    """
    if tool not in TOOL_NAMES:
        return _wrong(f"there is no tool {tool!r}; call {' or '.join(TOOL_NAMES)}", verdict)
    if verdict is None or verdict.verdict != "iterate":
        return _wrong("nothing is to be improved: the last checklist did not say iterate", verdict)
    ids = set(known) or {item.id for item in verdict.items}
    read, problem = _read(improvements, Improvement, ids, "improvements")
    if problem:
        return _wrong(problem, verdict)
    if uncovered := _uncovered(read, verdict):
        return uncovered
    entries = [one for many in read.values() for one in many]
    bold = sum(one.impact != "incremental" for one in entries)
    if not bold:
        return _wrong("every entry is incremental; make at least one structural or transformative", verdict)
    kept, problem = _read(preserve or {}, Kept, ids, "preserve")
    anew = bool(entries) and all(one.sources and set(one.sources) <= _FRESH for one in entries)
    if problem or not (anew or any(kept.values())):
        return _wrong(problem or "preserve is empty; name what must not be lost", verdict)
    return Approach(
        status="accepted",
        valid=True,
        message=f"{len(entries)} improvements, {bold} of them more than incremental",
        failed_criteria=verdict.failed_criteria,
        improvements_count=len(entries),
        non_incremental_count=bold,
        task_plan=_tasks(read, kept, vision),
    )


def _uncovered(read: Mapping[str, list[Any]], verdict: ChecklistVerdict) -> Approach | None:
    missing = tuple(one for one in verdict.failed_criteria if one not in read)
    empty = tuple(one for one in verdict.failed_criteria if one in read and not read[one])
    if not missing and not empty:
        return None
    said = f"failed criteria without a plan: {', '.join(missing + empty)}"
    return _wrong(said, verdict).model_copy(update={"missing_criteria": missing, "empty_criteria": empty})


def _read(raw: Any, kind: Any, ids: set[str], name: str) -> tuple[dict[str, list[Any]], str]:
    if not isinstance(raw, Mapping):
        return {}, f"{name} is not an object by criterion"
    found: dict[str, list[Any]] = {}
    for criterion, entries in raw.items():
        if criterion not in ids:
            return {}, f"{name}: there is no criterion {criterion!r}"
        many = entries if isinstance(entries, list | tuple) else [entries]
        try:
            found[criterion] = [
                kind.model_validate({_WORD[name]: one} if isinstance(one, str) else one) for one in many
            ]
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "entry"
            return {}, f"{name}.{criterion}.{place}: {first['msg']}"
    return found, ""


def _tasks(read: dict[str, list[Any]], kept: dict[str, list[Any]], vision: str) -> tuple[ApproachTask, ...]:
    tasks = [ApproachTask(type="vision", plan=vision)] if vision.strip() else []
    tasks += [
        ApproachTask(type="improve", criterion_id=criterion, plan=one.plan, impact=one.impact, sources=one.sources)
        for criterion, entries in read.items()
        for one in entries
    ]
    if any(kept.values()):
        words = "; ".join(f"{criterion}: {one.what}" for criterion, many in kept.items() for one in many)
        tasks.append(ApproachTask(type="verify_preserve", plan=f"Make sure that nothing of this was lost: {words}"))
    return tuple(tasks)


def _wrong(message: str, verdict: ChecklistVerdict | None) -> Approach:
    failed = verdict.failed_criteria if verdict else ()
    return Approach(status="error", valid=False, message=message, failed_criteria=failed)
