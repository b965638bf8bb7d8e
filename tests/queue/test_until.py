"""Moments as people name them, on days when the clock jumps too."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from bessemer.cluster.errors import UsageError
from bessemer.interfaces.queue import next_time

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "text", "then"),
    [
        ("2026-11-21T22:00+01:00", "07:00", "2026-11-22T07:00+01:00"),
        ("2026-11-21T06:59+01:00", "7:00", "2026-11-21T07:00+01:00"),
        ("2026-11-21T07:00+01:00", "07:00", "2026-11-22T07:00+01:00"),
        ("2026-12-31T23:30+01:00", "00:15", "2027-01-01T00:15+01:00"),
        ("2026-03-28T22:00+01:00", "07:00", "2026-03-29T07:00+02:00"),
        ("2026-10-24T22:00+02:00", "07:00", "2026-10-25T07:00+01:00"),
        ("2026-11-21T22:00+01:00", "2026-11-23T07:00", "2026-11-23T07:00+01:00"),
        ("2026-11-21T22:00+01:00", "2026-11-23 07:00Z", "2026-11-23T08:00+01:00"),
    ],
)
def test_the_next_time_the_clock_shows_it(now: str, text: str, then: str) -> None:
    found = next_time(text, datetime.fromisoformat(now).astimezone(UTC), "Europe/Berlin")
    assert found == datetime.fromisoformat(then)


def test_an_hour_that_a_day_leaves_out_is_still_a_moment() -> None:
    before = datetime(2026, 3, 28, 22, 0, tzinfo=BERLIN)
    found = next_time("02:30", before, "Europe/Berlin")
    assert 0 < found.timestamp() - before.timestamp() < 6 * 3600


def test_the_machines_own_zone_is_the_default() -> None:
    now = datetime.now(UTC)
    found = next_time("07:00", now)
    assert (found.astimezone().hour, found.astimezone().minute) == (7, 0)
    assert 0 < found.timestamp() - now.timestamp() <= 25 * 3600


@pytest.mark.parametrize("text", ["", "7", "24:00", "07:60", "7am", "2026-11-22", "-07:00", "2026-13-01T00:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time; give HH:MM"):
        next_time(text, datetime.now(UTC))
