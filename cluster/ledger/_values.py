"""Values as the ledger keeps them, and refusals as it says them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from bessemer.cluster.errors import LedgerRefusal
from bessemer.cluster.ledger.operations import LakeRecord, Operation, Refusal

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class NotStorable(ValueError):
    """A value that no database keeps as it is."""


def to_json(value: Any) -> str:
    """JSON text in the value's own key order. Raises NotStorable for NaN, lone surrogates and what is no JSON."""
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotStorable(str(error)) from None
    return text


def rows_json(rows: tuple[LakeRecord, ...]) -> list[tuple[str, str]]:
    """Outbox rows. Raises NotStorable."""
    for row in rows:
        _check_text("table", row.table)
    return [(row.table, to_json(row.row)) for row in rows]


def check_texts(operation: Operation) -> None:
    """Refuse texts that would make the database refuse the whole group. Raises NotStorable."""
    for name, value in operation.__dict__.items():
        kind = type(value)
        if kind is str:
            _check_text(name, value)
        elif (kind is tuple and value) or kind is dict:
            for item in value:
                if type(item) is str:
                    _check_text(name, item)


def _check_text(name: str, text: str) -> None:
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        raise NotStorable(f"{name} is not Unicode text") from None
    if "\x00" in text:
        raise NotStorable(f"{name} contains a null character")


@lru_cache(maxsize=4096)
def scopes_text(scopes: tuple[str, ...]) -> str:
    """A set of scope names as stored: JSON, sorted, each once."""
    return to_json(sorted(set(scopes)))


@lru_cache(maxsize=4096)
def scopes_in(text: str) -> tuple[str, ...]:
    """Read what `scopes_text` wrote."""
    return tuple(json.loads(text))


def refuse(error: type[LedgerRefusal], message: str, **facts: Any) -> Refusal:
    return Refusal(error=error.__name__, message=message, facts=facts)


def no_such_run(run: str) -> Refusal:
    return refuse(LedgerRefusal, f"the ledger has no run {run!r}; open it first", run=run)


def no_such_attempt(attempt: str) -> Refusal:
    return refuse(
        LedgerRefusal, f"the ledger has no attempt {attempt!r}; see `bessemer budget doubts`", attempt=attempt
    )
