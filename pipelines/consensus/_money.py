"""What a round may cost against what is left, and whom a shrunk panel keeps: measured value per dollar."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

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


class MeasuredValues:
    """How often each backend's votes agreed with what was decided, read once a minute for all runs of a process."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._read: dict[str, tuple[float, asyncio.Future[dict[str, float]]]] = {}

    async def of(self, lake: Lake) -> dict[str, float]:
        """By backend, those of which there are enough votes in the lake."""
        loop = asyncio.get_running_loop()
        at, reading = self._read.get(lake.url, (0.0, None))
        if reading is None or _is_spoilt(reading, loop) or loop.time() - at > self._seconds:
            reading = asyncio.ensure_future(asyncio.to_thread(_measure, lake))
            self._read[lake.url] = loop.time(), reading
        # A run that is cancelled must not take the others' answer along.
        return await asyncio.shield(reading)


MEASURED = MeasuredValues()


def _is_spoilt(reading: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it failed, or belongs to an event loop that is gone."""
    failed = reading.done() and (reading.cancelled() or reading.exception() is not None)
    return failed or reading.get_loop() is not loop


def _measure(lake: Lake) -> dict[str, float]:
    try:
        rows = lake.sql(_AGREEMENT).to_pylist()
    except LakeError:
        return {}
    # One vote either way keeps a short perfect record from counting as certainty.
    return {
        str(row["backend"]): round((int(row["won"]) + 1) / (int(row["votes"]) + 2), 3)
        for row in rows
        if int(row["votes"]) >= ENOUGH_VOTES
    }
