"""How many requests a second a provider takes, found out from what it refuses.

A refusal arrives soon, an answer may take a minute. So a request counts as accepted when it was not refused in the time
a refusal takes, and what was accepted a second is the estimate of the hidden limit. After a refusal the rate starts a
little below that estimate, stays near it for some seconds and leaves it faster and faster (a cubic curve, as TCP CUBIC
and AWS's adaptive retries have it; RFC 9438): far above the estimate the limit must have risen, and growth becomes
exponential, but slow near the highest estimate so far. Where everything is refused in a row, a fixed window is used up:
a few requests ask until one is taken, and what was taken in the second before is the new estimate.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from typing import NamedTuple

BACKOFF = 0.95
"""Part of the estimate that the rate starts from after a refusal."""
CURVE = 0.004
"""Steepness of the cubic curve, 1/s^3: the estimate is reached after 2.3 s and passed by 15 % after 5.7 s."""
RISEN = 1.15
"""Multiple of the estimate from which the limit has clearly risen."""
SURGE = 0.3
"""Exponential growth beyond it, 1/s."""
NEAR = (0.85, 1.2)
"""Multiples of the highest estimate between which growth is slower: that the limit rose further is less likely."""
NEAR_SURGE = 0.1
"""Exponential growth there, 1/s."""
SETTLED = 2.0
"""Seconds without a cut after which an estimate counts as good."""
FADES = 0.97
"""What each later cut leaves of the highest estimate."""
SLOWEST = 0.05
"""Requests a second that are always tried."""
STREAK = 3
"""Refusals in a row, nothing accepted between them, after which the provider counts as shut."""
KNOCKS = 10.0
"""Requests a second that are sent to a shut provider, to hear when it takes them again."""
KNOCKS_HALVE = 0.5
"""Seconds in which these become half as many."""
FEWEST_KNOCKS = 0.5
"""Requests a second that they do not fall below."""
SLOT = 0.02
"""Width of one count in seconds."""
MEMORY = 8.0
"""Seconds of counts kept."""
BOUND = 0.7
"""Part of the rate that must be used for it to grow: an unused rate says nothing about a higher one."""
MOST_LOST = 0.3
"""Refused part at which a second cut does not wait for more evidence."""
DEEPEST = 0.5
"""No cut goes below this part of the rate."""
EARLY, SURE = 0.4, 0.6
"""Seconds after a cut until another may follow: where very much is refused, and where some is."""
FIRST = 1.0
"""Seconds that the first burst counts as: much of it came out of what the provider had saved up."""
GROWTH = 0.05
"""Seconds between two steps of growth."""
SMALL = 20.0
"""Requests a second below which curves take longer: a probe costs a refusal, and there are few requests to pay it."""


class Sample(NamedTuple):
    seconds: float
    sent: float
    refused: int

    @property
    def accepted(self) -> float:
        return max(self.sent - self.refused, 0.0)

    @property
    def lost(self) -> float:
        """Part that was refused."""
        return self.refused / max(self.sent, self.refused, 1.0)


class _Count:
    __slots__ = ("at", "refused", "sent")

    def __init__(self, at: float) -> None:
        self.at = at
        self.sent = 0.0
        self.refused = 0


class RateController:
    """The rate of one key. Times are the caller's clock."""

    def __init__(self) -> None:
        self._rate: float | None = None
        self._estimate = 0.0
        self._highest = 0.0  # of the estimates that were good
        self._cut_at = float("-inf")
        self._active = 0.0  # seconds since the cut in which the rate was used
        self._grown_at = 0.0
        self._lag = 0.02  # how long a refusal takes
        self._counts: deque[_Count] = deque()
        self._pauses: deque[tuple[float, float]] = deque()
        self._shut_at: float | None = None
        self._opened_at = float("-inf")

    def rate(self, now: float) -> float | None:
        """Requests a second; None as long as nothing was ever refused."""
        if self._rate is None:
            return None
        self._open_again(now)
        if self._shut_at is not None:
            knocks = KNOCKS * math.exp2((self._shut_at - now) / KNOCKS_HALVE)
            return min(self._rate, max(knocks, FEWEST_KNOCKS))
        if now - self._grown_at >= GROWTH:
            self._grow(now)
        return self._rate

    @property
    def learned(self) -> float | None:
        """The rate without regard to a provider that is shut for a moment; None as long as nothing was refused."""
        return self._rate

    def shut_for(self, now: float) -> float | None:
        """Seconds since the provider stopped to take anything; None where it takes some."""
        return None if self._shut_at is None else now - self._shut_at

    def learn(self, rate: float, now: float) -> None:
        """Start where another limiter left off."""
        self._rate, self._estimate, self._cut_at, self._active, self._grown_at = rate, rate, now, 0.0, now

    def sent(self, count: float, now: float) -> None:
        self._count_at(now).sent += count

    def refused(self, granted_at: float, now: float) -> bool:
        """A request was refused; True where the rate was cut."""
        self._lag += 0.2 * (min(now - granted_at, 5.0) - self._lag)
        self._count_at(granted_at).refused += 1
        if self._shut_at is None and self._rate is not None and self._last_in_a_row(now) >= STREAK:
            self._shut_at = now
            return True
        if self._shut_at is not None or granted_at <= self._cut_at:
            return False
        since_cut = self.sample(max(self._cut_at, now - MEMORY), now)
        if self._rate is None or now - self._cut_at > SETTLED:
            same = self._rate is not None and self._rate < RISEN * self._estimate
            # Between two refusals a bucket is emptied twice, so the mean is its rate; a second may hold a burst.
            self._cut(since_cut if same else self.sample(now - self._lag - 1.0, now), now)
            return True
        if not self._enough(since_cut):
            return False
        self._cut(since_cut, now)
        return True

    def paused(self, start: float, until: float) -> None:
        """Nothing is sent between the two: that time says nothing about the limit."""
        while self._pauses and self._pauses[0][1] < start - MEMORY:
            self._pauses.popleft()
        if self._pauses and start < self._pauses[-1][1]:
            start = self._pauses[-1][1]
        if until > start:
            self._pauses.append((start, until))

    def recent(self, now: float, least: int = 8) -> Sample:
        """The last requests whose refusal would be known: those of half a second, or of longer until `least` are."""
        seconds = 0.5
        since = self._opened_at
        while (found := self.sample(max(now - self._lag - seconds, since), now)).sent < least and seconds < MEMORY:
            seconds *= 2
        return found

    def sample(self, start: float, now: float) -> Sample:
        """What was sent from `start` on and would have been refused by now."""
        end = now - self._lag
        sent, refused, first = 0.0, 0, end
        for count in self._counts:
            if count.at >= start - SLOT / 2 and (count.at < end or count.refused):
                first = min(first, count.at)
                sent += count.sent
                refused += count.refused
        first = max(first, start)
        paused = sum(max(min(until, end) - max(begun, first), 0.0) for begun, until in self._pauses)
        return Sample(max(end - first - paused, SLOT), sent, refused)

    def _last_in_a_row(self, now: float) -> int:
        """Refusals since the last request that was accepted, as far as that is known by now."""
        length = 0
        for count in reversed(self._counts):
            if count.refused >= count.sent:
                length += count.refused
            elif self._is_known(count, now):
                break
        return length

    def _is_known(self, count: _Count, now: float) -> bool:
        """Whether a refusal of what was sent then would have come by now."""
        return count.at + SLOT + 1.5 * self._lag < now

    def _open_again(self, now: float) -> None:
        """Where a shut provider took a request: what it took in the second before is what it takes a second."""
        if self._shut_at is None:
            return
        begun = self._shut_at - self._lag
        since = itertools.takewhile(lambda one: one.at > begun, reversed(self._counts))
        taken = [one.at for one in since if one.sent > one.refused and self._is_known(one, now)]
        at = taken[-1] if taken else None
        if at is None:
            return
        # It opened between the last refusal and this: half way errs the least.
        refused = max((one.at for one in self._counts if one.at < at and one.refused), default=at)
        at = (at + refused) / 2 if at - refused < 0.5 else at
        seconds = max(1.0, at - self._shut_at)
        accepted = sum(max(one.sent - one.refused, 0.0) for one in self._counts if at - seconds <= one.at < at)
        self._shut_at, self._opened_at = None, at
        self._cut(Sample(seconds, accepted, 0), now)

    @staticmethod
    def _enough(since_cut: Sample) -> bool:
        if since_cut.lost > MOST_LOST and since_cut.sent >= 8 and since_cut.seconds >= EARLY:
            return True
        return since_cut.seconds >= SURE and since_cut.sent >= 6 and since_cut.lost > 0.02

    def _cut(self, seen: Sample, now: float) -> None:
        rate = self._rate
        if rate is not None and now - self._cut_at > SETTLED:
            self._highest = max(self._highest * FADES, self._estimate)
        accepted = (seen.accepted + 0.5) / max(seen.seconds, FIRST if rate is None else 0.25)
        self._estimate = max(accepted if rate is None else min(max(accepted, DEEPEST * rate), rate), SLOWEST)
        self._rate = max(BACKOFF * self._estimate, SLOWEST)
        self._cut_at, self._active, self._grown_at = now, 0.0, now

    def _grow(self, now: float) -> None:
        assert self._rate is not None
        passed = min(now - self._grown_at, 0.5) * min(max(self._rate / SMALL, 0.2), 1.0)
        self._grown_at = now
        span = max(1.0, 4.0 / self._rate)
        if self._sent_in(now - span, now) < BOUND * self._rate * span:
            return
        if self._rate >= RISEN * self._estimate:
            near = NEAR[0] * self._highest <= self._rate <= NEAR[1] * self._highest
            self._rate *= math.exp((NEAR_SURGE if near else SURGE) * passed)
            return
        self._active += passed
        start = ((1 - BACKOFF) / CURVE) ** (1 / 3)
        self._rate = max(self._rate, self._estimate * (1 + CURVE * (self._active - start) ** 3))

    def _sent_in(self, start: float, now: float) -> float:
        recent = itertools.takewhile(lambda count: count.at >= start, reversed(self._counts))
        return sum(count.sent for count in recent if count.at <= now)

    def _count_at(self, at: float) -> _Count:
        slot = math.floor(at / SLOT) * SLOT
        counts = self._counts
        while counts and counts[0].at < slot - MEMORY:
            counts.popleft()
        for count in reversed(counts):
            if abs(count.at - slot) < SLOT / 2:
                return count
            if count.at < slot:
                break
        made = _Count(slot)
        place = len(counts)
        while place and counts[place - 1].at > slot:
            place -= 1
        counts.insert(place, made)
        return made


class Pace:
    """Lets `rate` units a second through, evenly (the generic cell rate algorithm)."""

    def __init__(self, slack: float = 0.01) -> None:
        """`slack`: seconds of rate that may go at once, to make up for a late timer."""
        self._slack = slack
        self._rate: float | None = None
        self._next = float("-inf")

    def set(self, rate: float | None, now: float) -> None:
        if rate is not None and self._rate is not None and rate != self._rate and self._next > now:
            self._next = now + (self._next - now) * self._rate / rate
        self._rate = rate

    def ready_at(self) -> float:
        """When the next may go."""
        return float("-inf") if self._rate is None else self._next

    def take(self, now: float, amount: float = 1.0) -> None:
        if self._rate is not None:
            self._next = max(self._next, now - self._slack) + amount / self._rate

    def give_back(self, amount: float) -> None:
        """Correct what was taken; a negative amount takes more."""
        if self._rate is not None:
            self._next -= amount / self._rate
