"""When nobody may ask a provider: after failures in a row, or when it refuses the key."""

from __future__ import annotations

from bessemer.cluster.limits._types import BreakerState, LimitPolicy

DENIALS_AFTER_SUCCESS = 3
"""Refusals in a row of a key that has worked: one alone may be about one request."""


class Breaker:
    """Closed, open until a time, then half open: one request may try."""

    def __init__(self, policy: LimitPolicy) -> None:
        self._policy = policy
        self.open_until: float | None = None
        self.denied = False
        self.reason = ""
        self._failures = 0
        self._denials = 0
        self._worked = False

    def set_policy(self, policy: LimitPolicy) -> None:
        self._policy = policy

    def state(self, now: float) -> BreakerState:
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def succeeded(self) -> bool:
        """True where this closed it."""
        closed = self.open_until is not None
        self.open_until, self.denied, self.reason, self._failures, self._denials = None, False, "", 0, 0
        self._worked = True
        return closed

    def failed(self, granted_at: float, now: float) -> bool:
        """True where this opened it, or opened it again."""
        if self.open_until is not None and granted_at < self.open_until:
            return False  # sent before it opened: nothing new
        self._failures += 1
        if self.open_until is None and self._failures < self._policy.breaker_failures:
            return False
        self.denied, self.reason = False, ""
        return self._open(self._policy.breaker_seconds, now)

    def refused_key(self, granted_at: float, reason: str, now: float) -> bool:
        """True where this opened it, or opened it again."""
        if self.open_until is not None and granted_at < self.open_until:
            return False
        self._denials += 1
        if self.open_until is None and self._worked and self._denials < DENIALS_AFTER_SUCCESS:
            return False
        self.denied, self.reason = True, reason
        return self._open(self._policy.denied_seconds, now)

    def _open(self, seconds: float, now: float) -> bool:
        self.open_until = now + seconds
        self._failures = self._denials = 0
        return True
