"""How many requests may be in flight: slow start, then additive increase and multiplicative decrease.

The limit grows by one for every answer, so it doubles every round trip, until a refusal cuts it. It comes back as fast
to near where it was, then grows by one for every full window; after some calm it is tried again in the fast way.
"""

from __future__ import annotations

from bessemer.cluster.limits._types import LimitPolicy

PLATEAU = 0.8
"""Part of the refused limit up to which it comes back fast."""
CALM = 10.0
"""Seconds without a refusal after which the limit grows fast again."""


class Window:
    def __init__(self, policy: LimitPolicy) -> None:
        self._policy = policy
        self.limit = policy.initial
        self._plateau = policy.ceiling
        self._cut_at = float("-inf")

    def grew(self, in_flight: int, now: float) -> None:
        """A request was answered; `in_flight` were, itself included."""
        # A limit that is not used says nothing about a larger one.
        if in_flight < int(self.limit) // 2:
            return
        quick = self.limit < self._plateau or now - self._cut_at > CALM
        self.limit = min(self._policy.ceiling, self.limit + (1.0 if quick else 1.0 / max(self.limit, 1.0)))

    def refused(self, granted_at: float, now: float) -> bool:
        """A request was refused for load. At most one decrease a round trip; True where there was one."""
        # What was granted before the last decrease says nothing about the limit of now.
        if granted_at <= self._cut_at:
            return False
        self._cut_at = now
        self._plateau = PLATEAU * self.limit
        before, self.limit = self.limit, max(self._policy.floor, self.limit * self._policy.decrease)
        return self.limit < before

    def set_policy(self, policy: LimitPolicy) -> None:
        self._policy = policy
        self._plateau = min(self._plateau, policy.ceiling)
        self.limit = min(max(self.limit, policy.floor), policy.ceiling)

    def learn(self, limit: float) -> None:
        """Start where another limiter left off."""
        self.limit = min(max(limit, self._policy.floor), self._policy.ceiling)
