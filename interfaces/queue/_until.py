"""A moment as a person names it: `07:00` is the next time the clock shows that."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bessemer.cluster.errors import UsageError

_CLOCK = re.compile(r"^(\d{1,2}):(\d{2})$")


def next_time(text: str, now: datetime, zone: str = "", flag: str = "--until") -> datetime:
    """The moment `text` names: `HH:MM`, today or else tomorrow, or a date and time such as `2026-11-22T07:00`.

    `zone` is an IANA name; empty is the machine's own. `now` is aware. Raises UsageError for anything else, and for a
    date and time that has passed.
    """
    place = ZoneInfo(zone) if zone else None
    here = now.astimezone(place)
    found = _CLOCK.match(text.strip())
    if not found:
        return _full(text, now, place, flag)
    hour, minute = int(found[1]), int(found[2])
    if hour > 23 or minute > 59:
        raise _wrong(text, flag)
    day = here.date()
    while True:
        # Made from the wall clock of each day, so that a change to or from summer time moves nothing.
        moment = datetime(day.year, day.month, day.day, hour, minute)
        aware = moment.replace(tzinfo=place) if place else moment.astimezone()
        if aware.timestamp() > now.timestamp():
            return aware
        day += timedelta(days=1)


def _full(text: str, now: datetime, place: ZoneInfo | None, flag: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _wrong(text, flag) from None
    if "T" not in text and " " not in text.strip():
        raise _wrong(text, flag)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=place) if place else moment.astimezone()
    if moment.timestamp() <= now.timestamp():
        raise UsageError(f"{flag} {text!r} has passed; give a later moment, or HH:MM for the next one")
    return moment


def _wrong(text: str, flag: str) -> UsageError:
    return UsageError(f"{flag} {text!r} is no time; give HH:MM, for example 07:00, or 2026-11-22T07:00")
