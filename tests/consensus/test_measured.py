"""What backends were worth so far is read from the lake once for many runs."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pyarrow as pa
import pytest

from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake import Lake
from bessemer.pipelines.consensus._money import MeasuredValues

ROWS = [{"backend": "a/one", "votes": 38, "won": 29}, {"backend": "b/two", "votes": 3, "won": 3}]


class CountingLake:
    url = "somewhere"

    def __init__(self) -> None:
        self.reads = 0
        self.broken: Exception | None = None

    def sql(self, query: str) -> pa.Table:
        self.reads += 1
        if self.broken is not None:
            raise self.broken
        return pa.Table.from_pylist(ROWS)


@pytest.fixture
def lake() -> Any:
    return CountingLake()


async def test_runs_at_once_read_once_and_few_votes_say_nothing(lake: Any) -> None:
    values = MeasuredValues()
    found = await asyncio.gather(*(values.of(cast(Lake, lake)) for _ in range(20)))
    assert lake.reads == 1
    assert found == [{"a/one": 0.75}] * 20


async def test_it_is_read_again_when_it_is_old(lake: Any) -> None:
    values = MeasuredValues(seconds=-1)
    await values.of(lake)
    await values.of(lake)
    assert lake.reads == 2


async def test_a_cancelled_run_leaves_the_others_their_answer(lake: Any) -> None:
    values = MeasuredValues()
    first, second = (asyncio.ensure_future(values.of(lake)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == {"a/one": 0.75}
    assert lake.reads == 1


async def test_what_failed_is_no_answer_for_those_who_come_later(lake: Any) -> None:
    values = MeasuredValues()
    lake.broken = RuntimeError("a defect")
    with pytest.raises(RuntimeError, match="a defect"):
        await values.of(lake)
    lake.broken = LakeError("no such table")
    assert await values.of(lake) == {}
    assert lake.reads == 2
