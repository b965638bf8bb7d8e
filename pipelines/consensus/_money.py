"""What a round may cost against what is left, and whom a shrunk panel keeps: measured value per dollar."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake import Lake
from bessemer.pipelines.consensus._ask import Asked

ENOUGH_VOTES = 20
"""Votes of a backend in the lake from which its measured agreement counts."""
UNMEASURED = 0.5

_AGREEMENT = """
SELECT backend, count(*) AS votes, sum(CASE WHEN won THEN 1 ELSE 0 END) AS won
FROM votes WHERE backend IS NOT NULL AND won IS NOT NULL AND target_hash <> '' AND NOT stale GROUP BY backend
"""


class Affordable(BaseModel):
    """Who of those to be asked is asked, and who is dropped from the panel because money is short."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kept: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    worst: int = 0
    """Micro-dollars the kept calls may cost at most."""
    left: int | None = None
    """Micro-dollars there were; None without a cap."""


def choose(asked: Sequence[Asked], values: Mapping[str, float], left: int | None) -> Affordable:
    """The agents that fit into what is left, the most value per dollar first; all of them where there is no cap.

    A dearer agent that does not fit does not keep a cheaper one out.
    """
    total = sum(one.worst for one in asked)
    if left is None or total <= left:
        return Affordable(kept=tuple(one.agent for one in asked), worst=total, left=left)
    kept: set[str] = set()
    spent = 0
    for one in by_value(asked, values):
        if spent + one.worst <= left:
            kept.add(one.agent)
            spent += one.worst
    return Affordable(
        kept=tuple(one.agent for one in asked if one.agent in kept),
        dropped=tuple(one.agent for one in asked if one.agent not in kept),
        worst=spent,
        left=left,
    )


def by_value(asked: Sequence[Asked], values: Mapping[str, float]) -> list[Asked]:
    """In falling value per dollar; where that is equal, as they were given."""
    return sorted(asked, key=lambda one: -(values.get(one.backend, UNMEASURED) / (one.worst or 1e-6)))


async def measured_values(lake: Lake) -> dict[str, float]:
    """How often each backend's votes agreed with what was decided, where there are enough of them in the lake."""
    try:
        rows = (await asyncio.to_thread(lake.sql, _AGREEMENT)).to_pylist()
    except LakeError:
        return {}
    # One vote either way keeps a short perfect record from counting as certainty.
    return {
        str(row["backend"]): round((int(row["won"]) + 1) / (int(row["votes"]) + 2), 3)
        for row in rows
        if int(row["votes"]) >= ENOUGH_VOTES
    }
