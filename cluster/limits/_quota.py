"""A provider's quota as its rate headers tell it, for requests or for tokens."""

from __future__ import annotations

from typing import NamedTuple

LOW = 0.25
"""Part of the limit from which on the rest is paced."""
STEP = 0.05
"""Part of the limit that must be used before the reset is looked at again."""
MOVED = 1.5
"""Seconds a reset must move to count as moving: some vendors round it to a second."""
MOST_PAUSE = 60.0
"""Seconds a used-up quota stops requests at most; then one may try."""


class _Seen(NamedTuple):
    remaining: float
    reset_at: float


class Quota:
    """One limit that is refilled, at once at its reset or little by little.

    A reset that stays where it is while the quota is used belongs to a fixed window: the rest must last until then. One
    that moves away belongs to a bucket that is refilled steadily: what is used comes back in the time to the reset.
    """

    def __init__(self) -> None:
        self._limit = 0.0
        self._seen: _Seen | None = None
        self._anchor: _Seen | None = None
        self._refilled_steadily = False
        self._refill = 0.0

    def observe(
        self, limit: float | None, remaining: float | None, reset: float | None, under_way: float, now: float
    ) -> None:
        """One answer's headers; `under_way` units of requests in flight may not be counted in them yet."""
        # Some gateways send 0 or -1 for "unknown".
        if not limit or remaining is None or reset is None:
            return
        seen = _Seen(min(remaining, limit), now + reset)
        if self._anchor is None or limit != self._limit or seen.remaining > self._anchor.remaining:
            self._anchor, self._limit = seen, limit
        elif self._anchor.remaining - seen.remaining >= STEP * limit:
            self._refilled_steadily = seen.reset_at - self._anchor.reset_at > MOVED
            self._anchor = seen
        self._refill = (limit - seen.remaining) / max(reset, 0.1)
        left = seen.remaining if self._refilled_steadily else max(seen.remaining - under_way, 0.0)
        self._seen = _Seen(left, seen.reset_at)

    def rate(self, now: float) -> float | None:
        """Units a second that may go; None while there is plenty or nothing is known."""
        if self._seen is None or now >= self._seen.reset_at or self._seen.remaining >= LOW * self._limit:
            return None
        if self._refilled_steadily:
            return max(self._refill, 1e-3)
        return max(self._seen.remaining / max(self._seen.reset_at - now, 0.1), 1e-3)

    def used_up_until(self, now: float) -> float:
        """Until when nothing may go; 0 if something may."""
        seen = self._seen
        if seen is None or seen.remaining >= 1 or self._refilled_steadily or now >= seen.reset_at:
            return 0.0
        return min(seen.reset_at, now + MOST_PAUSE)
