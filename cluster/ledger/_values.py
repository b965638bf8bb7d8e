"""Values as the ledger keeps them, and refusals as it says them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

import pydantic_core

from bessemer.cluster.errors import LedgerRefusal
from bessemer.cluster.ledger.operations import LakeRecord, OpenRun, Operation, Refusal, Reserve, Submit
from bessemer.cluster.ledger.queue_operations import AddTasks, MarkTasks


class NotStorable(ValueError):
    """A value that no database keeps as it is."""


def to_json(value: Any) -> str:
    """JSON text in the value's own key order. Raises NotStorable for NaN, lone surrogates and what is no JSON."""
    try:
        raw = pydantic_core.to_json(value, inf_nan_mode="constants")
        if b"NaN" in raw or b"Infinity" in raw:
            # Either a number that JSON has not, or a text that names it: the strict encoder knows.
            json.dumps(json.loads(raw), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotStorable(" ".join(str(error).split())[:200]) from None
    return raw.decode()


def from_json(text: str) -> Any:
    """Read what `to_json` wrote."""
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        # The fast reader stops at a depth of nesting that the writer still writes.
        return json.loads(text)


def rows_json(rows: tuple[LakeRecord, ...]) -> list[tuple[str, str]]:
    """Outbox rows. Raises NotStorable."""
    for row in rows:
        _check_text("table", row.table)
    return [(row.table, to_json(row.row)) for row in rows]


def check_texts(operation: Operation) -> None:
    """Refuse texts that would make the database refuse the whole group. Raises NotStorable."""
    kind = type(operation)
    text = "".join(_texts_of(kind)(operation))
    if kind in _WITH_NAMES:
        text += "".join(_WITH_NAMES[kind](operation))
    _check_text(operation.op, text)


_WITH_NAMES: dict[type, Callable[[Any], Any]] = {
    OpenRun: attrgetter("caps"),
    Reserve: attrgetter("scopes"),
    Submit: attrgetter("attempts"),
    AddTasks: lambda op: (text for task in op.tasks for text in (task.key, task.digest, task.title)),
    MarkTasks: attrgetter("tasks"),
}


@cache
def _texts_of(kind: type[Operation]) -> Callable[[Any], tuple[str, ...]]:
    """How to get at the texts of an operation of that kind that become keys and columns as they are."""
    names = [name for name, field in kind.model_fields.items() if field.annotation is str]
    return attrgetter("op", "op", *names)


def _check_text(name: str, text: str) -> None:
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        raise NotStorable(f"a text of {name} is not Unicode") from None
    if "\x00" in text:
        raise NotStorable(f"a text of {name} contains a null character")


@lru_cache(maxsize=4096)
def scopes_text(scopes: tuple[str, ...]) -> str:
    """A set of scope names as stored: JSON, sorted, each once."""
    return to_json(sorted(set(scopes)))


@lru_cache(maxsize=4096)
def scopes_in(text: str) -> tuple[str, ...]:
    """Read what `scopes_text` wrote."""
    return tuple(from_json(text))


def refuse(error: type[LedgerRefusal], message: str, **facts: Any) -> Refusal:
    return Refusal(error=error.__name__, message=message, facts=facts)


def no_such_run(run: str) -> Refusal:
    return refuse(LedgerRefusal, f"the ledger has no run {run!r}; open it first", run=run)


def no_such_attempt(attempt: str) -> Refusal:
    return refuse(
        LedgerRefusal, f"the ledger has no attempt {attempt!r}; see `bessemer budget doubts`", attempt=attempt
    )
