"""Why a request is not in a recording: the recorded one that is nearest to it, and where the two differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bessemer.actors.backends._alike import Alike
from bessemer.actors.backends._context import CallContext
from bessemer.actors.backends._exchanges import Exchange
from bessemer.actors.backends._recording import place_of
from bessemer.cluster.canonical import canonical_json

SHOWN = 40
"""Characters shown of either side."""


def nearest_difference(asked: Alike, context: CallContext, recorded: Iterable[Exchange]) -> str:
    """One sentence for people."""
    best: tuple[tuple[int, int], Exchange, dict[str, Any]] | None = None
    _, path, index, _ = place_of(context)
    for exchange in recorded:
        content = exchange.alike().content
        same_place = (exchange.path, exchange.index) == (path, index)
        rank = (len(_differing(asked.content, content)), 0 if same_place else 1)
        if best is None or rank < best[0]:
            best = (rank, exchange, content)
    if best is None:
        return "it is empty; record a run with --record first"
    _, exchange, content = best
    fields = _differing(asked.content, content)
    others = f" (also in {', '.join(fields[1:])})" if fields[1:] else ""
    return (
        f"the nearest is call {exchange.index} of step {exchange.path or '-'}, which differs in {fields[0]}"
        f"{_where(asked.content.get(fields[0]), content.get(fields[0]))}{others}"
    )


def _differing(asked: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    names = sorted(asked.keys() | recorded.keys())
    return [name for name in names if asked.get(name) != recorded.get(name)]


def _where(asked: Any, recorded: Any) -> str:
    mine, theirs = _text(asked), _text(recorded)
    length = min(len(mine), len(theirs))
    at = next((place for place in range(length) if mine[place] != theirs[place]), length)
    start = max(0, at - SHOWN // 2)
    return f" at character {at}: recorded {theirs[start : at + SHOWN]!r}, asked {mine[start : at + SHOWN]!r}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()
