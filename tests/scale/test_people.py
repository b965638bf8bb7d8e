"""What a run tells is in its file at once, and a host that remembers thousands of runs keeps no files open."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from bessemer.actors._people import People


def told(directory: Path) -> list[str]:
    path = directory / "events.jsonl"
    return [json.loads(line)["kind"] for line in path.read_text().splitlines()] if path.exists() else []


def open_files(directory: Path) -> int:
    """Files below `directory` that this process has open, by Linux's own list."""
    open_now = psutil.Process().open_files()
    return sum(Path(one.path).is_relative_to(directory) for one in open_now)


def test_an_event_is_there_for_readers_at_once_and_after_the_file_was_let_go(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.tell("opened")
    people.tell("round", number=1)
    assert told(tmp_path) == ["opened", "round"]
    people.close()
    people.close()
    people.tell("ended")
    assert told(tmp_path) == ["opened", "round", "ended"]


def test_runs_that_ended_keep_no_file_open(tmp_path: Path) -> None:
    many = [People(tmp_path / f"run-{number}") for number in range(50)]
    for people in many:
        people._file.parent.mkdir()
        people.tell("ended")
    assert open_files(tmp_path) == 50
    for people in many:
        people.close()
    assert open_files(tmp_path) == 0


async def test_a_folder_that_is_away_keeps_nothing_from_watchers(tmp_path: Path) -> None:
    people = People(tmp_path / "away")
    people.tell("opened")
    (tmp_path / "away").mkdir()
    people.tell("round")
    assert [event["kind"] for event in (await people.since(0, 0))[0]] == ["opened", "round"]
    assert told(tmp_path / "away") == ["round"]
    people.close()
