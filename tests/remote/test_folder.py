"""A folder's way to a cluster and back: nothing that was changed in both places is overwritten."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.errors import DeliverableError
from bessemer.cluster.workspace import States, _mirror, parcels, remove_files, state_of, states_of, unpack_parcel
from bessemer.interfaces.remote import address_in
from bessemer.interfaces.remote._command import without_address
from bessemer.interfaces.remote._folder import bring_back, send


class Desk:
    """A desk in this process: the same questions, answered from another folder."""

    def __init__(self, place: Path) -> None:
        self.work = place
        self.work.mkdir()
        self.place = str(place)
        self.known: dict[str, States] = {"sent": {}, "baseline": {}}
        self.busy = False
        self.taken: list[str] = []

    def look(self) -> tuple[dict[str, States], bool]:
        return {**self.known, "now": states(self.work)}, self.busy

    def ask(self, method: str, **message: Any) -> Any:
        if method == "take":
            self.taken += unpack_parcel(self.work, message["parcel"])
        elif method == "settle":
            remove_files(self.work, message["gone"])
            self.known = {"sent": message["sent"], "baseline": states(self.work)}
        elif method == "give":
            return list(parcels(self.work, message["paths"]))
        elif method == "given":
            self.known = {"sent": message["sent"], "baseline": message["baseline"]}
        return None


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
    sent = send(desk, folder)
    there = {str(path.relative_to(desk.work)) for path in desk.work.rglob("*") if not path.is_dir()}
    assert there == {"a.txt", "deep/er/run.sh", "link", ".bessemer/config.yaml"}
    assert states(desk.work) == sent
    assert (desk.work / "link").readlink() == Path("a.txt")


def test_only_what_is_not_there_travels_again_and_what_was_deleted_goes(folder: Path, desk: Any) -> None:
    send(desk, folder)
    desk.taken.clear()
    (folder / "a.txt").write_text("b\n")
    (folder / "deep" / "er" / "run.sh").unlink()
    send(desk, folder)
    assert desk.taken == ["a.txt"]
    assert not (desk.work / "deep").exists()


def test_what_a_command_wrote_comes_back_and_what_it_deleted_goes(folder: Path, desk: Any) -> None:
    sent = send(desk, folder)
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
    sent = send(desk, folder)
    (desk.work / "made").write_text("first\n")
    (desk.work / "other").write_text("first\n")
    bring_back(desk, folder, sent)
    # Deleted here: it goes there too. Changed there while nobody listened: it is no conflict.
    (folder / "made").unlink()
    (desk.work / "other").write_text("second\n")
    send(desk, folder)
    assert not (desk.work / "made").exists() and not (folder / "made").exists()
    assert (folder / "other").read_text() == "second\n"
    assert "kept" not in capsys.readouterr().err


def test_what_changed_in_both_places_is_kept(folder: Path, desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sent = send(desk, folder)
    (desk.work / "a.txt").write_text("theirs\n")
    (folder / "a.txt").write_text("mine\n")
    bring_back(desk, folder, sent)
    assert (folder / "a.txt").read_text() == "mine\n"
    said = capsys.readouterr().err
    assert "a.txt" in said and str(desk.work) in said
    # Told once: the next command begins with what is here.
    send(desk, folder)
    assert (desk.work / "a.txt").read_text() == "mine\n"


def test_what_a_command_wrote_after_the_line_broke_is_fetched_first(folder: Path, desk: Any) -> None:
    send(desk, folder)
    (desk.work / "a.txt").write_text("written later\n")
    send(desk, folder)
    assert (folder / "a.txt").read_text() == "written later\n"
    assert (desk.work / "a.txt").read_text() == "written later\n"


def test_a_copy_in_which_a_command_works_is_left_alone(folder: Path, desk: Any) -> None:
    sent = send(desk, folder)
    desk.busy = True
    (folder / "a.txt").write_text("mine\n")
    (desk.work / "a.txt").write_text("in between\n")
    send(desk, folder)
    bring_back(desk, folder, sent)
    assert (folder / "a.txt").read_text() == "mine\n"
    assert (desk.work / "a.txt").read_text() == "in between\n"


def test_nothing_leaves_the_folder_it_is_unpacked_into(tmp_path: Path) -> None:
    there, outside = tmp_path / "there", tmp_path / "outside"
    outside.mkdir()
    there.mkdir()
    (there / "way").symlink_to(outside)
    source = tmp_path / "source"
    (source / "way").mkdir(parents=True)
    (source / "way" / "file").write_text("x")
    (parcel,) = parcels(source, ["way/file"])
    with pytest.raises(DeliverableError, match="outside"):
        unpack_parcel(there, parcel)
    assert list(outside.iterdir()) == []
    (source / "leads-out").symlink_to("/etc/passwd")
    (parcel,) = parcels(source, ["leads-out"])
    with pytest.raises(DeliverableError, match="not taken in"):
        unpack_parcel(there, parcel)
    remove_files(there, ["way/file"])


def test_large_files_are_named_and_small_ones_travel_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mirror, "PARCEL_BYTES", 10)
    monkeypatch.setattr(_mirror, "MOST_FILE_BYTES", 20)
    for name in "bcd":
        (folder / name).write_text(name * 6)
    assert len(list(parcels(folder, ["b", "c", "d", "a.txt"]))) == 3
    (folder / "b").write_text("x" * 21)
    with pytest.raises(DeliverableError, match="'b' has 0 MiB"):
        list(parcels(folder, ["b"]))


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
