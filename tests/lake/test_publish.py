"""Every row of the outbox is in the lake exactly once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake import Lake, Publisher
from bessemer.cluster.lake import _publish as publish_module
from tests.lake._outbox import Outbox


def publisher(folder: Path, outbox: Outbox, keeper: str = "0") -> Publisher:
    return Publisher(str(folder), "ledger", keeper, outbox)


def texts(folder: Path) -> list[str]:
    return sorted(Lake(str(folder)).table("events").column("text").to_pylist())


async def test_a_row_arrives_and_leaves_the_outbox(tmp_path: Path) -> None:
    outbox = Outbox()
    outbox.put_events("a", "b")
    outbox.put("calls", {"run": "r", "cost": 700})
    assert await publisher(tmp_path, outbox).publish_once() == 3
    assert outbox.rows == []
    assert texts(tmp_path) == ["a", "b"]
    assert Lake(str(tmp_path)).table("calls").column("cost").to_pylist() == [700]
    assert await publisher(tmp_path, outbox).publish_once() == 0


async def test_a_crash_between_append_and_delete_repeats_nothing(tmp_path: Path) -> None:
    outbox = Outbox()
    outbox.put_events("a", "b")
    outbox.broken = True
    with pytest.raises(ConnectionError):
        await publisher(tmp_path, outbox).publish_once()
    outbox.broken = False
    outbox.put_events("c")
    assert await publisher(tmp_path, outbox).publish_once() == 3
    assert texts(tmp_path) == ["a", "b", "c"]


async def test_a_restart_with_an_empty_outbox_skips_no_later_row(tmp_path: Path) -> None:
    outbox = Outbox()
    outbox.put_events("a")
    await publisher(tmp_path, outbox).publish_once()
    again = publisher(tmp_path, outbox)
    assert await again.publish_once() == 0
    outbox.put_events("b")
    assert await again.publish_once() == 1
    assert texts(tmp_path) == ["a", "b"]


async def test_two_publishers_of_one_keeper_double_nothing(tmp_path: Path) -> None:
    outbox = Outbox()
    for number in range(10):
        outbox.put_events(f"{number:03}a", f"{number:03}b")
        await asyncio.gather(*(publisher(tmp_path, outbox).publish_once() for _ in range(2)))
    assert texts(tmp_path) == sorted(f"{number:03}{end}" for number in range(10) for end in "ab")


async def test_keepers_share_a_lake_and_lose_nothing(tmp_path: Path) -> None:
    boxes = [Outbox() for _ in range(3)]
    for turn in range(4):
        for number, box in enumerate(boxes):
            box.put_events(f"{turn}-{number}")
        await asyncio.gather(
            *(publisher(tmp_path, box, str(number)).publish_once() for number, box in enumerate(boxes))
        )
    assert texts(tmp_path) == sorted(f"{turn}-{number}" for turn in range(4) for number in range(3))


async def test_delta_refuses_the_second_of_two_that_read_the_same_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other publisher commits after this one has read the version and before it writes."""
    import deltalake

    outbox = Outbox()
    outbox.put_events("a")
    await publisher(tmp_path, outbox).publish_once()
    outbox.put_events("b", "c")
    true_write, tries = deltalake.write_deltalake, []

    def late(*given: Any, **named: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            true_write(*((deltalake.DeltaTable(f"{tmp_path}/events"), *given[1:])), **named)
        true_write(*given, **named)

    monkeypatch.setattr(deltalake, "write_deltalake", late)
    assert await publisher(tmp_path, outbox).publish_once() == 2
    assert len(tries) == 1, "after the conflict it saw that the rows were there"
    assert texts(tmp_path) == ["a", "b", "c"]


def aside(folder: Path) -> list[tuple[str, int, str, str]]:
    rows = Lake(str(folder)).table("quarantine").to_pylist()
    return [(row["publisher"], row["seq"], row["intended_table"], row["row"]) for row in rows]


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("events", "{broken"),
        ("events", "[1]"),
        ("events", '{"text": 5}'),
        ("events", '{"text": "x", "newer": 1}'),
        ("events", '{"at": "yesterday"}'),
        ("events", '{"text": "\\ud800"}'),
        ("calls", '{"cost": 99999999999999999999}'),
        ("calls", DEEP),
        ("nowhere", "{}"),
    ],
)
async def test_a_row_that_cannot_be_taken_is_kept_aside_and_stops_nothing(tmp_path: Path, table: str, row: str) -> None:
    outbox = Outbox()
    outbox.put_events("before")
    bad = outbox.put(table, row)
    outbox.put_events("after")
    assert await publisher(tmp_path, outbox).publish_once() == 3
    found = texts(tmp_path)
    assert [found[0], found[1]] == ["after", "before"]
    assert found[2].startswith(f"row {bad} for table {table!r}: ")
    assert aside(tmp_path) == [("ledger:0", bad, table, json.loads(json.dumps(row)))]
    assert outbox.rows == []


async def test_a_row_kept_aside_is_kept_once_however_often_it_is_tried(tmp_path: Path) -> None:
    outbox = Outbox()
    bad = outbox.put("nowhere", "{}")
    outbox.put_events("after")
    outbox.broken = True
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await publisher(tmp_path, outbox).publish_once()
    outbox.broken = False
    outbox.put_events("later")
    await publisher(tmp_path, outbox).publish_once()
    assert aside(tmp_path) == [("ledger:0", bad, "nowhere", "{}")]
    why = f"row {bad} for table 'nowhere': the lake has no table 'nowhere'"
    assert texts(tmp_path) == ["after", "later", why]


async def test_a_row_that_utf8_cannot_hold_is_kept_aside_as_its_escape(tmp_path: Path) -> None:
    outbox = Outbox()
    bad = outbox.put("even\ud800ts", "\udfff")
    await publisher(tmp_path, outbox).publish_once()
    assert aside(tmp_path) == [("ledger:0", bad, "even\\ud800ts", "\\udfff")]


async def test_gaps_in_the_sequence_lose_and_double_nothing(tmp_path: Path) -> None:
    outbox = Outbox()
    outbox.put_events(*(str(number) for number in range(9)))
    outbox.rows = [row for row in outbox.rows if row[0] not in (1, 4, 5, 8)]
    outbox.broken = True
    with pytest.raises(ConnectionError):
        await publisher(tmp_path, outbox).publish_once()
    outbox.broken = False
    outbox.put_events("9")
    await publisher(tmp_path, outbox).publish_once()
    assert texts(tmp_path) == ["1", "2", "5", "6", "8", "9"]


async def test_what_is_published_survives_a_checkpoint_and_a_compaction(tmp_path: Path) -> None:
    """The application transaction is read from the checkpoint when the log before it is gone."""
    from deltalake import DeltaTable

    outbox = Outbox()
    for text in "abc":
        outbox.put_events(text)
        outbox.broken = True
        with pytest.raises(ConnectionError):
            await publisher(tmp_path, outbox).publish_once()
    Lake(str(tmp_path)).compact()
    DeltaTable(f"{tmp_path}/events").create_checkpoint()
    DeltaTable(f"{tmp_path}/events").cleanup_metadata()
    outbox.broken = False
    await publisher(tmp_path, outbox).publish_once()
    assert texts(tmp_path) == ["a", "b", "c"]


async def test_the_date_is_that_of_utc(tmp_path: Path) -> None:
    outbox = Outbox()
    outbox.put("events", {"at": "2026-03-01T00:30:00+02:00"})
    await publisher(tmp_path, outbox).publish_once()
    (row,) = Lake(str(tmp_path)).table("events").to_pylist()
    assert row["date"] == "2026-02-28"
    assert row["at"].isoformat() == "2026-02-28T22:30:00+00:00"


async def test_a_lake_that_cannot_be_written_says_so_and_rows_wait(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    outbox = Outbox()
    outbox.put_events("a")
    with pytest.raises(LakeError, match="lake/events cannot be written"):
        await publisher(tmp_path / "lake", outbox).publish_once()
    assert len(outbox.rows) == 1


async def test_a_table_of_a_newer_major_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox()
    outbox.put_events("a")
    monkeypatch.setattr(publish_module, "described", lambda: "bessemer schema major 9")
    with pytest.raises(LakeError, match="has schema 9 and this version knows 1; upgrade bessemer"):
        await publisher(tmp_path, outbox).publish_once()
    with pytest.raises(LakeError, match="upgrade bessemer"):
        Lake(str(tmp_path)).table("events")
    assert len(outbox.rows) == 1
