"""A folder's way to a cluster and back: nothing that was changed in both places is overwritten."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.desk import _arrive, _states
from bessemer.cluster.workspace import States, _mirror, pack_parcel, remove_files, state_of, states_of, unpack_parcel
from bessemer.interfaces.remote import address_in
from bessemer.interfaces.remote._command import without_address
from bessemer.interfaces.remote._folder import bring_back, send


class Desk:
    """A desk in this process: the same questions, answered from another folder."""

    def __init__(self, place: Path) -> None:
        self.work = place / "work"
        self.work.mkdir(parents=True)
        self.arriving = place / "arriving"
        self.place = str(place)
        self.known: dict[str, States] = {"sent": {}, "baseline": {}}
        self.busy = False
        self.taken: list[str] = []

    def look(self) -> tuple[dict[str, States], bool]:
        (self.work.parent / "known.json").write_text(json.dumps(self.known))
        return {**self.known, "now": asyncio.run(_states(self.work.parent))}, self.busy

    def ask(self, method: str, **message: Any) -> Any:
        if method == "take":

            def place(name: str) -> str:
                self.taken.append(name)
                return name

            return unpack_parcel(self.arriving, message["parcel"], place)
        if method == "give":
            return pack_parcel(self.work, message["paths"])._asdict()
        self.known = {"sent": message["sent"], "baseline": message["baseline"]}
        return None

    def begin(self, folder: Path) -> States:
        """As at the start of a command; returns what was sent."""
        shutil.rmtree(self.arriving, ignore_errors=True)  # each connection has a place of its own
        work = send(self, folder)
        if not self.busy:
            _arrive(self.arriving, self.work, work["gone"])
            self.known = {"sent": work["sent"], "baseline": states(self.work)}
        sent: States = work["sent"]
        return sent


def states(folder: Path) -> States:
    return asyncio.run(states_of(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "here"
    (here / "deep" / "er").mkdir(parents=True)
    (here / "a.txt").write_text("a\n")
    (here / "deep" / "er" / "run.sh").write_text("#!/bin/sh\n")
    (here / "deep" / "er" / "run.sh").chmod(0o755)
    (here / "link").symlink_to("a.txt")
    (here / ".env").write_text("ANTHROPIC_API_KEY=secret\n")
    (here / ".bessemer" / "runs").mkdir(parents=True)
    (here / ".bessemer" / "config.yaml").write_text("{}\n")
    (here / ".bessemer" / "runs" / "x").write_text("not sent")
    return here


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "there")


def test_what_belongs_to_the_work_travels_and_no_key_does(folder: Path, desk: Any) -> None:
    sent = desk.begin(folder)
    there = {str(path.relative_to(desk.work)) for path in desk.work.rglob("*") if not path.is_dir()}
    assert there == {"a.txt", "deep/er/run.sh", "link", ".bessemer/config.yaml"}
    assert states(desk.work) == sent
    assert (desk.work / "link").readlink() == Path("a.txt")


def test_only_what_is_not_there_travels_again_and_what_was_deleted_goes(folder: Path, desk: Any) -> None:
    desk.begin(folder)
    desk.taken.clear()
    (folder / "a.txt").write_text("b\n")
    (folder / "deep" / "er" / "run.sh").unlink()
    desk.begin(folder)
    assert desk.taken == ["a.txt"]
    assert not (desk.work / "deep").exists()


def test_what_a_command_wrote_comes_back_and_what_it_deleted_goes(folder: Path, desk: Any) -> None:
    sent = desk.begin(folder)
    (desk.work / "a.txt").write_text("better\n")
    (desk.work / "new").mkdir()
    (desk.work / "new" / "file").write_text("new\n")
    (desk.work / "deep" / "er" / "run.sh").unlink()
    bring_back(desk, folder, sent)
    assert (folder / "a.txt").read_text() == "better\n"
    assert (folder / "new" / "file").read_text() == "new\n"
    assert not (folder / "deep").exists()
    assert (folder / ".env").exists()


def test_what_came_back_is_known_afterwards(folder: Path, desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sent = desk.begin(folder)
    (desk.work / "made").write_text("first\n")
    (desk.work / "other").write_text("first\n")
    bring_back(desk, folder, sent)
    # Deleted here: it goes there too. Changed there while nobody listened: it is no conflict.
    (folder / "made").unlink()
    (desk.work / "other").write_text("second\n")
    desk.begin(folder)
    assert not (desk.work / "made").exists() and not (folder / "made").exists()
    assert (folder / "other").read_text() == "second\n"
    assert "kept" not in capsys.readouterr().err


def test_what_changed_in_both_places_is_kept_and_the_other_stands_beside(
    folder: Path, desk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = desk.begin(folder)
    (desk.work / "a.txt").write_text("theirs\n")
    (folder / "a.txt").write_text("mine\n")
    bring_back(desk, folder, sent)
    assert (folder / "a.txt").read_text() == "mine\n"
    assert (folder / "a.txt.from-cluster").read_text() == "theirs\n"
    assert "a.txt.from-cluster" in capsys.readouterr().err
    # The next command begins with what is here.
    desk.begin(folder)
    assert (desk.work / "a.txt").read_text() == "mine\n"


def test_what_a_command_wrote_after_the_line_broke_is_fetched_first(folder: Path, desk: Any) -> None:
    desk.begin(folder)
    (desk.work / "a.txt").write_text("written later\n")
    desk.begin(folder)
    assert (folder / "a.txt").read_text() == "written later\n"
    assert (desk.work / "a.txt").read_text() == "written later\n"


def test_a_copy_in_which_a_command_works_is_left_alone(folder: Path, desk: Any) -> None:
    sent = desk.begin(folder)
    desk.busy = True
    (folder / "a.txt").write_text("mine\n")
    (desk.work / "a.txt").write_text("in between\n")
    assert send(desk, folder) == {"sent": sent, "gone": []}
    bring_back(desk, folder, sent)
    assert (folder / "a.txt").read_text() == "mine\n"
    assert (desk.work / "a.txt").read_text() == "in between\n"


def test_what_a_listing_leaves_out_is_not_taken_for_deleted(
    folder: Path, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = desk.begin(folder)
    (desk.work / "deep" / "pyvenv.cfg").write_text("home = /usr\n")
    monkeypatch.setattr(_mirror, "MOST_FILE_BYTES", 50)
    (desk.work / "a.txt").write_text("x" * 60)
    bring_back(desk, folder, sent)
    assert (folder / "a.txt").read_text() == "a\n"
    assert (folder / "deep" / "er" / "run.sh").exists()


@pytest.mark.parametrize("here", [False, True])
def test_a_file_may_become_a_folder_and_a_folder_a_file(folder: Path, desk: Any, here: bool) -> None:
    sent = desk.begin(folder)
    place, other = (folder, desk.work) if here else (desk.work, folder)
    (place / "a.txt").unlink()
    (place / "a.txt").mkdir()
    (place / "a.txt" / "inside").write_text("x\n")
    (place / "deep" / "er" / "run.sh").unlink()
    (place / "deep" / "er").rmdir()
    (place / "deep" / "er").write_text("a file now\n")
    if here:
        desk.begin(folder)
    else:
        bring_back(desk, folder, sent)
    assert (other / "a.txt" / "inside").read_text() == "x\n"
    assert (other / "deep" / "er").read_text() == "a file now\n"


def test_a_folder_with_files_of_its_own_is_not_replaced_by_a_file(folder: Path, desk: Any) -> None:
    sent = desk.begin(folder)
    (folder / "deep" / "er" / "mine").write_text("mine\n")
    (desk.work / "deep" / "er" / "run.sh").unlink()
    (desk.work / "deep" / "er").rmdir()
    (desk.work / "deep" / "er").write_text("a file now\n")
    bring_back(desk, folder, sent)
    assert (folder / "deep" / "er" / "mine").read_text() == "mine\n"
    assert (folder / "deep" / "er.from-cluster").read_text() == "a file now\n"


def test_a_sending_that_broke_off_changes_nothing(folder: Path, desk: Any) -> None:
    desk.begin(folder)
    (folder / "a.txt").write_text("b\n")
    send(desk, folder)
    (folder / "a.txt").write_text("a\n")
    desk.begin(folder)
    assert (folder / "a.txt").read_text() == (desk.work / "a.txt").read_text() == "a\n"


def test_nothing_leaves_the_folder_it_is_unpacked_into(tmp_path: Path) -> None:
    there, outside, source = (tmp_path / name for name in ("there", "outside", "source"))
    for one in (there, outside, source / "way" / "deep", source / ".git" / "hooks"):
        one.mkdir(parents=True)
    (there / "way").symlink_to(outside)
    (source / "way" / "deep" / "file").write_text("x")
    (source / ".git" / "hooks" / "pre-commit").write_text("x")
    (source / "leads-out").symlink_to("/etc/passwd")
    (source / "sound").write_text("x")
    paths = ["way/deep/file", ".git/hooks/pre-commit", "leads-out", "sound"]
    refused = unpack_parcel(there, pack_parcel(source, paths).content, lambda name: name)
    assert refused.keys() == set(paths) - {"sound"}
    assert list(outside.iterdir()) == []
    assert sorted(one.name for one in there.iterdir()) == ["sound", "way"]
    refused = unpack_parcel(there, pack_parcel(source, ["sound"]).content, lambda _: "../up")
    assert refused.keys() == {"sound"} and not (tmp_path / "up").exists()
    remove_files(there, ["way/deep/file"])


def test_what_cannot_travel_is_named_and_small_files_travel_together(
    folder: Path, desk: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "bcd":
        (folder / name).write_text(name * 6)
    monkeypatch.setattr(_mirror, "PARCEL_BYTES", 10)
    parcel = pack_parcel(folder, ["b", "c", "d", "a.txt", "vanished"])
    assert parcel.rest == ["vanished", "d", "c"]
    assert pack_parcel(folder, parcel.rest[:1])[1:] == ([], {})
    monkeypatch.setattr(_mirror, "MOST_FILE_BYTES", 20)
    (folder / "b").write_text("x" * 21)
    assert pack_parcel(folder, ["b"]).refused.keys() == {"b"}
    (folder / "absolute").symlink_to("/etc/passwd")
    desk.begin(folder)
    assert {"c", "d"} <= states(desk.work).keys()


def test_a_file_is_known_by_its_content_and_whether_it_runs(folder: Path) -> None:
    before = state_of(folder / "a.txt")
    assert before.startswith("file:")
    (folder / "a.txt").chmod(0o755)
    assert state_of(folder / "a.txt") == before.replace("file:", "program:")
    assert state_of(folder / "nothing") == ""


@pytest.mark.parametrize(
    ("line", "address", "left"),
    [
        ("refine x --address ray://h:1 --json", "ray://h:1", "refine x --json"),
        ("refine x --address=ray://h:1", "ray://h:1", "refine x"),
        ("refine x --address h:1", "", "refine x"),
        ("refine -- --address ray://h:1", "", "refine -- --address ray://h:1"),
        ("refine x --address", "", "refine x --address"),
        ("refine --address auto --address ray://h:1 x", "ray://h:1", "refine x"),
    ],
)
def test_the_address_is_found_and_taken_out(line: str, address: str, left: str) -> None:
    assert address_in(line.split()) == address
    assert without_address(line.split()) == left.split()
