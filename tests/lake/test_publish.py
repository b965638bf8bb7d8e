"""Every row of the outbox is in the lake exactly once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake import Publisher
from bessemer.cluster.lake import _publish as publish_module
from tests.lake._outbox import Outbox
from tests.lake._site import Site


async def test_a_row_arrives_and_leaves_the_outbox(site: Site) -> None:
    outbox = Outbox()
    outbox.put_events("a", "b")
    outbox.put("calls", {"run": "r", "cost": 700})
    assert await site.publisher(outbox).publish_once() == 3
    assert outbox.rows == []
    assert site.texts() == ["a", "b"]
    assert site.lake().table("calls").column("cost").to_pylist() == [700]
    assert await site.publisher(outbox).publish_once() == 0


async def test_a_crash_between_append_and_delete_repeats_nothing(site: Site) -> None:
    outbox = Outbox()
    outbox.put_events("a", "b")
    outbox.broken = True
    with pytest.raises(ConnectionError):
        await site.publisher(outbox).publish_once()
    outbox.broken = False
    outbox.put_events("c")
    assert await site.publisher(outbox).publish_once() == 3
    assert site.texts() == ["a", "b", "c"]


async def test_a_restart_with_an_empty_outbox_skips_no_later_row(site: Site) -> None:
    outbox = Outbox()
    outbox.put_events("a")
    await site.publisher(outbox).publish_once()
    again = site.publisher(outbox)
    assert await again.publish_once() == 0
    outbox.put_events("b")
    assert await again.publish_once() == 1
    assert site.texts() == ["a", "b"]


async def test_two_publishers_of_one_keeper_double_nothing(site: Site) -> None:
    outbox = Outbox()
    for number in range(10):
        outbox.put_events(f"{number:03}a", f"{number:03}b")
        await asyncio.gather(*(site.publisher(outbox).publish_once() for _ in range(2)))
    assert site.texts() == sorted(f"{number:03}{end}" for number in range(10) for end in "ab")


async def test_keepers_share_a_lake_and_lose_nothing(site: Site) -> None:
    boxes = [Outbox() for _ in range(3)]
    for turn in range(4):
        for number, box in enumerate(boxes):
            box.put_events(f"{turn}-{number}")
        await asyncio.gather(*(site.publisher(box, str(number)).publish_once() for number, box in enumerate(boxes)))
    assert site.texts() == sorted(f"{turn}-{number}" for turn in range(4) for number in range(3))


async def test_delta_refuses_the_second_of_two_that_read_the_same_version(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other publisher commits after this one has read the version and before it writes."""
    import deltalake

    outbox = Outbox()
    outbox.put_events("a")
    await site.publisher(outbox).publish_once()
    outbox.put_events("b", "c")
    true_write, tries = deltalake.write_deltalake, []

    def late(*given: Any, **named: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            true_write(*((site.delta("events"), *given[1:])), **named)
        true_write(*given, **named)

    monkeypatch.setattr(deltalake, "write_deltalake", late)
    assert await site.publisher(outbox).publish_once() == 2
    assert len(tries) == 1, "after the conflict it saw that the rows were there"
    assert site.texts() == ["a", "b", "c"]


def aside(site: Site) -> list[tuple[str, int, str, str]]:
    rows = site.lake().table("quarantine").to_pylist()
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
async def test_a_row_that_cannot_be_taken_is_kept_aside_and_stops_nothing(site: Site, table: str, row: str) -> None:
    outbox = Outbox()
    outbox.put_events("before")
    bad = outbox.put(table, row)
    outbox.put_events("after")
    assert await site.publisher(outbox).publish_once() == 3
    found = site.texts()
    assert [found[0], found[1]] == ["after", "before"]
    assert found[2].startswith(f"row {bad} for table {table!r}: ")
    assert aside(site) == [("ledger:0", bad, table, json.loads(json.dumps(row)))]
    assert outbox.rows == []


async def test_a_row_kept_aside_is_kept_once_however_often_it_is_tried(site: Site) -> None:
    outbox = Outbox()
    bad = outbox.put("nowhere", "{}")
    outbox.put_events("after")
    outbox.broken = True
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await site.publisher(outbox).publish_once()
    outbox.broken = False
    outbox.put_events("later")
    await site.publisher(outbox).publish_once()
    assert aside(site) == [("ledger:0", bad, "nowhere", "{}")]
    why = f"row {bad} for table 'nowhere': the lake has no table 'nowhere'"
    assert site.texts() == ["after", "later", why]


async def test_a_row_that_utf8_cannot_hold_is_kept_aside_as_its_escape(site: Site) -> None:
    outbox = Outbox()
    bad = outbox.put("even\ud800ts", "\udfff")
    await site.publisher(outbox).publish_once()
    assert aside(site) == [("ledger:0", bad, "even\\ud800ts", "\\udfff")]


async def test_gaps_in_the_sequence_lose_and_double_nothing(site: Site) -> None:
    outbox = Outbox()
    outbox.put_events(*(str(number) for number in range(9)))
    outbox.rows = [row for row in outbox.rows if row[0] not in (1, 4, 5, 8)]
    outbox.broken = True
    with pytest.raises(ConnectionError):
        await site.publisher(outbox).publish_once()
    outbox.broken = False
    outbox.put_events("9")
    await site.publisher(outbox).publish_once()
    assert site.texts() == ["1", "2", "5", "6", "8", "9"]


async def test_what_is_published_survives_a_checkpoint_and_a_compaction(site: Site) -> None:
    """The application transaction is read from the checkpoint when the log before it is gone."""

    outbox = Outbox()
    for text in "abc":
        outbox.put_events(text)
        outbox.broken = True
        with pytest.raises(ConnectionError):
            await site.publisher(outbox).publish_once()
    site.lake().compact()
    site.delta("events").create_checkpoint()
    site.delta("events").cleanup_metadata()
    outbox.broken = False
    await site.publisher(outbox).publish_once()
    assert site.texts() == ["a", "b", "c"]


async def test_the_date_is_that_of_utc(site: Site) -> None:
    outbox = Outbox()
    outbox.put("events", {"at": "2026-03-01T00:30:00+02:00"})
    await site.publisher(outbox).publish_once()
    (row,) = site.lake().table("events").to_pylist()
    assert row["date"] == "2026-02-28"
    assert row["at"].isoformat() == "2026-02-28T22:30:00+00:00"


async def test_a_lake_that_cannot_be_written_says_so_and_rows_wait(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    outbox = Outbox()
    outbox.put_events("a")
    with pytest.raises(LakeError, match="lake/events cannot be written"):
        await Publisher(str(tmp_path / "lake"), "ledger", "0", outbox).publish_once()
    assert len(outbox.rows) == 1


async def test_a_table_of_a_newer_major_schema_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox()
    outbox.put_events("a")
    monkeypatch.setattr(publish_module, "described", lambda: "bessemer schema major 9")
    with pytest.raises(LakeError, match="has schema 9 and this version knows 1; upgrade bessemer"):
        await site.publisher(outbox).publish_once()
    with pytest.raises(LakeError, match="upgrade bessemer"):
        site.lake().table("events")
    assert len(outbox.rows) == 1
