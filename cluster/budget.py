"""Which caps a reservation counts against: its run, the calendar day, and the queue and account it belongs to.

A scope is `KIND:NAME`. The day is chosen when a call is reserved, so a run that goes on after midnight counts against
the new day; it steers nothing else, and an answer that is there already is never asked for again because of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from bessemer.cluster.errors import UsageError

DAY = "day:"
ACCOUNT = "account:"
KINDS = ("run", "queue", "day", "account")
_NAME = re.compile(r"^[\w.-]{1,64}$", re.ASCII)


def _now() -> datetime:
    return datetime.now(UTC)


class DayBudget:
    """The cap of every calendar day, in micro-dollars, and where midnight is."""

    def __init__(self, cap: int | None = None, zone: str = "", clock: Callable[[], datetime] = _now) -> None:
        """`zone` is an IANA name; empty is the machine's own. `clock` gives aware times."""
        self.cap = cap
        self._zone = ZoneInfo(zone) if zone else None
        self._clock = clock

    @property
    def scope(self) -> str:
        """Today's scope, `day:2026-11-21`."""
        return f"{DAY}{self._clock().astimezone(self._zone).date().isoformat()}"

    def current(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """`scopes` with any day in them replaced by today."""
        return tuple(self.scope if one.startswith(DAY) else one for one in scopes)


def check_scope(scope: str) -> None:
    """Raises UsageError unless a person may make this scope: a day, an account or a queue; runs make their own."""
    kind, _, name = scope.partition(":")
    if kind == "run":
        raise UsageError(f"no scope {scope!r}: a run makes its own when it starts; see `bessemer budget show`")
    if kind not in KINDS or not name:
        raise UsageError(f"no scope {scope!r}; give day:YYYY-MM-DD, account:NAME or queue:NAME, or see `budget show`")
    if kind == "day":
        try:
            date.fromisoformat(name)
        except ValueError:
            raise UsageError(f"{scope!r} names no day; write it as day:2026-11-21") from None
    elif not _NAME.match(name):
        raise UsageError(f"{scope!r} is no usable name; take letters, digits, and . _ -")
