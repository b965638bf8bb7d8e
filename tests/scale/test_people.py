"""What a run tells is in its file at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bessemer.actors._people import People


def told(directory: Path) -> list[str]:
    path = directory / "events.jsonl"
    return [json.loads(line)["kind"] for line in path.read_text().splitlines()] if path.exists() else []


def test_an_event_is_there_for_readers_at_once(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.tell("opened")
    people.tell("round", number=1)
    assert told(tmp_path) == ["opened", "round"]


async def test_a_folder_that_is_away_keeps_nothing_from_watchers(tmp_path: Path) -> None:
    people = People(tmp_path / "away")
    people.tell("opened")
    (tmp_path / "away").mkdir()
    people.tell("round")
    assert [event["kind"] for event in (await people.since(0, 0))[0]] == ["opened", "round"]
    assert told(tmp_path / "away") == ["round"]


def test_a_run_keeps_its_file_open_until_it_ends(tmp_path: Path) -> None:
    def open_here() -> int:
        found = (os.path.realpath(one) for one in Path("/proc/self/fd").iterdir())
        return sum(one == str(tmp_path / "events.jsonl") for one in found)

    people = People(tmp_path)
    people.tell("opened")
    people.tell("round", number=1)
    assert open_here() == 1
    people.tell("left_memory")
    assert open_here() == 0
    people.tell("round", number=2)
    people.tell("ended")
    assert open_here() == 0
    assert told(tmp_path) == ["opened", "round", "left_memory", "round", "ended"]


def test_a_file_that_took_no_line_is_opened_anew_for_the_next(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.tell("opened")
    # A descriptor that cannot be written to stands for a file system that went away and came back.
    out = people._out
    assert out is not None
    os.dup2(os.open(os.devnull, os.O_RDONLY), out.fileno())
    people.tell("lost")
    people.tell("round")
    assert told(tmp_path) == ["opened", "round"]
