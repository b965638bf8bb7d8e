"""An object store that refuses, goes away, or is written by several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake import Lake
from tests._s3 import S3
from tests.lake._outbox import Outbox
from tests.lake._site import Site


@pytest.fixture
def own_s3(s3_server: S3) -> Iterator[Site]:
    """A prefix on the session's server, which the test may make refuse."""
    yield Site(s3_server.new_url(), s3_server.storage)
    s3_server.refuse(0)


def test_digits_in_a_name_are_no_status(s3_server: S3) -> None:
    s3_server.refuse(503)
    try:
        with pytest.raises(LakeError, match="refuses for now"):
            Lake("s3://team-403/lake", s3_server.storage).check()
    finally:
        s3_server.refuse(0)


@pytest.mark.parametrize(
    ("status", "said"), [(403, "access is denied"), (503, "refuses for now"), (500, "refuses for now")]
)
async def test_a_refusal_is_one_line_and_the_rows_follow_once(
    s3_server: S3, own_s3: Site, status: int, said: str
) -> None:
    outbox = Outbox()
    outbox.put_events("a")
    await own_s3.publisher(outbox).publish_once()
    outbox.put_events("b")
    s3_server.refuse(status)
    for _ in range(2):
        with pytest.raises(LakeError) as caught:
            await own_s3.publisher(outbox).publish_once()
        assert said in caught.value.message and "\n" not in caught.value.message
    with pytest.raises(LakeError, match=said):
        own_s3.lake().check()
    assert len(outbox.rows) == 1
    s3_server.refuse(0)
    await own_s3.publisher(outbox).publish_once()
    assert own_s3.texts() == ["a", "b"]


async def test_a_missing_bucket_is_named(s3_server: S3) -> None:
    site = Site("s3://no-such-bucket/lake", s3_server.storage)
    with pytest.raises(LakeError, match="no such bucket") as caught:
        site.lake().check()
    assert "s3://no-such-bucket/lake" in caught.value.message
    outbox = Outbox()
    outbox.put_events("a")
    with pytest.raises(LakeError, match="no such bucket"):
        await site.publisher(outbox).publish_once()
    assert len(outbox.rows) == 1


def test_a_server_that_is_not_there_is_named() -> None:
    lake = Lake("s3://bucket/lake", {"endpoint": "http://127.0.0.1:9", "region": "us-east-1"})
    with pytest.raises(LakeError, match="cannot be reached"):
        lake.check()


async def test_many_writers_append_to_the_same_tables(own_s3: Site) -> None:
    boxes = [Outbox() for _ in range(4)]

    async def write(number: int) -> None:
        for turn in range(5):
            boxes[number].put_events(f"{number}-{turn}")
            await own_s3.publisher(boxes[number], str(number)).publish_once()

    await asyncio.gather(*(write(number) for number in range(4)))
    assert own_s3.texts() == sorted(f"{number}-{turn}" for number in range(4) for turn in range(5))
    assert own_s3.lake().compact() >= 2
    assert len(own_s3.texts()) == 20
    assert own_s3.lake().vacuum(1) == 0


async def test_credentials_stay_out_of_messages(s3_server: S3, own_s3: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame-open")
    s3_server.refuse(403)
    with pytest.raises(LakeError) as caught:
        own_s3.lake().check()
    assert "sesame" not in caught.value.message
