"""Work that travels through a folder or an object store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bessemer.cluster.errors import SettingsError, WorkspaceError
from bessemer.cluster.workspace import SnapshotStore
from tests._s3 import S3

Make = Callable[[], SnapshotStore]


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    if request.param == "folder":
        return SnapshotStore(str(tmp_path / "store"))
    s3: S3 = request.getfixturevalue("s3_server")
    return SnapshotStore(s3.new_url(), s3.storage)


def test_what_is_kept_comes_back_until_its_run_ends(store: SnapshotStore, tmp_path: Path) -> None:
    store.check()
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(20_000_000))
    assert not store.has("run-1/abc.pack")
    for name in ("run-1/abc.pack", "run-1/def.pack", "run-2/abc.pack"):
        store.put(name, source)
    store.get("run-1/abc.pack", target)
    assert target.read_bytes() == source.read_bytes()
    store.forget("run-1")
    assert not store.has("run-1/abc.pack") and store.names("run-1") == []
    assert store.names("run-2") == ["abc.pack"]
    store.forget("run-1")


def test_what_is_not_there_is_an_error_of_one_line(store: SnapshotStore, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be read") as caught:
        store.get("run-1/abc.pack", tmp_path / "target")
    assert "\n" not in caught.value.message and store.url in caught.value.message


def test_what_a_run_left_that_never_ended_goes_after_a_week(tmp_path: Path) -> None:
    store = SnapshotStore(f"file://{tmp_path}")
    source = tmp_path / "source"
    source.write_bytes(b"pack")
    for name in ("old/a.pack", "new/a.pack"):
        store.put(name, source)
    long_ago = time.time() - 8 * 86_400
    os.utime(tmp_path / "old" / "a.pack", (long_ago, long_ago))
    store.forget("other")
    assert store.names("old") == [] and store.names("new") == ["a.pack"]


@pytest.mark.parametrize(("status", "said"), [(403, "access is denied"), (503, "refuses for now")])
def test_a_store_that_refuses_is_told_of_in_one_line(s3_server: S3, status: int, said: str) -> None:
    # Digits in a name are no status.
    store = SnapshotStore(f"{s3_server.new_url()}/403", s3_server.storage)
    s3_server.refuse(status)
    try:
        with pytest.raises(WorkspaceError, match=said) as caught:
            store.check()
    finally:
        s3_server.refuse(0)
    assert "\n" not in caught.value.message


def test_a_bucket_that_is_not_there_is_told_of(s3_server: S3) -> None:
    with pytest.raises(WorkspaceError, match="no such bucket"):
        SnapshotStore("s3://no-such-bucket/x", s3_server.storage).check()


@pytest.mark.parametrize(
    ("url", "storage", "said"),
    [
        ("ftp://host/x", {}, "neither a folder nor s3"),
        ("relative/folder", {}, "no absolute path"),
        ("s3://b/x", {"secret_access_key": "x"}, "it takes endpoint, region, allow_http"),
    ],
)
def test_a_wrong_place_is_named(url: str, storage: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        SnapshotStore(url, storage).check()


def test_looking_whether_a_folder_can_be_used_leaves_nothing(tmp_path: Path) -> None:
    SnapshotStore(str(tmp_path / "store")).check()
    assert list((tmp_path / "store").iterdir()) == []
