"""Decides what one key may do, from what becomes of its requests. Sends nothing and holds no queue."""

from __future__ import annotations

from bessemer.cluster.limits._breaker import Breaker
from bessemer.cluster.limits._quota import Quota
from bessemer.cluster.limits._rate import RateController
from bessemer.cluster.limits._types import Ended, LimitEvent, LimitKey, LimitPolicy, RateHint, Terms
from bessemer.cluster.limits._window import Window

LONG_WAIT = 5.0
"""A provider that asks for so many seconds means every request, not only the one it refused."""
MOSTLY_ACCEPTED = 0.5
SHUT_PATIENCE = 1.5
"""Seconds for which a provider that takes nothing may be waiting for its window to end: the pace sees to that."""
PACE_FIRST = 1.0
"""Seconds that a slower pace gets to help before the requests in flight are cut once more."""
CUT_EVENT_SECONDS = 30.0
"""At most one event of a cut limit in so many seconds."""
BREAKER_EVENT_SECONDS = 10.0


class Control:
    """The limits of one key: window, rate, quotas and breaker."""

    def __init__(self, key: LimitKey, policy: LimitPolicy) -> None:
        self.key = key
        self.policy = policy
        self.window = Window(policy)
        self.pacing = RateController()
        self.breaker = Breaker(policy)
        self.throttled_at: float | None = None
        self.events: list[LimitEvent] = []
        self._requests, self._tokens = Quota(), Quota()
        self._tokens_per_call = 0.0
        self._paused_until = float("-inf")
        self._window_cut_at = float("-inf")
        self._said_at: dict[str, float] = {}

    def sent(self, count: float, now: float) -> None:
        """So many requests were granted."""
        self.pacing.sent(count, now)

    def ended(self, ended: Ended, in_flight: int, now: float) -> None:
        """A request ended while `in_flight` were, itself included."""
        if ended.hint is not None:
            self._hint(ended.hint, in_flight, now)
        if ended.tokens:
            before = self._tokens_per_call
            self._tokens_per_call = ended.tokens if not before else before + 0.1 * (ended.tokens - before)
        if ended.feedback == "ok":
            self.window.grew(in_flight, now)
            if self.breaker.succeeded():
                self._say("breaker_closed", f"{self.key} answers again", now, BREAKER_EVENT_SECONDS)
        elif ended.feedback == "throttled":
            self._throttled(ended, now)
        elif ended.feedback == "overloaded":
            self._overloaded(ended, now)
        elif ended.feedback == "failed":
            if self.breaker.failed(ended.granted_at, now):
                text = f"{self.key} failed too often in a row; one request tries again in "
                self._say("breaker_opened", f"{text}{self.policy.breaker_seconds:.0f} s", now, BREAKER_EVENT_SECONDS)
        elif ended.feedback == "denied" and self.breaker.refused_key(ended.granted_at, ended.reason, now):
            self._say("breaker_opened", f"{self.key} refuses the key: {ended.reason}", now, BREAKER_EVENT_SECONDS)

    def set_policy(self, policy: LimitPolicy) -> None:
        """Go on under another policy."""
        if policy != self.policy:
            self.policy = policy
            self.window.set_policy(policy)
            self.breaker.set_policy(policy)

    def take_events(self) -> list[LimitEvent]:
        """What happened since the last call."""
        taken, self.events = self.events, []
        return taken

    def learn(self, limit: float, rate: float | None, now: float) -> None:
        """Start where another limiter of this key left off."""
        self.window.learn(limit)
        if rate is not None:
            self.pacing.learn(rate, now)

    def terms(self, now: float) -> Terms:
        """What all hosts together may do now."""
        open_until = self.breaker.open_until
        paused = max(self._paused_until, self._requests.used_up_until(now), self._tokens.used_up_until(now))
        per_minute = self.policy.tokens_per_minute
        return Terms(
            slots=int(self.window.limit),
            rate=self._rate(now),
            token_rate=None if per_minute is None else per_minute / 60,
            paused_until=paused,
            open_until=open_until,
            probes=0 if open_until is None else 1,
            denied=self.breaker.denied,
            reason=self.breaker.reason,
        )

    def learned_rate(self, now: float) -> float | None:
        """The rate found out from refusals alone, without caps and quotas."""
        return self.pacing.learned

    def _rate(self, now: float) -> float | None:
        per_minute = self.policy.requests_per_minute
        tokens = self._tokens.rate(now)
        rates = (
            self.pacing.rate(now),
            self._requests.rate(now),
            tokens / self._tokens_per_call if tokens is not None and self._tokens_per_call else None,
            None if per_minute is None else per_minute / 60,
        )
        return min((rate for rate in rates if rate is not None), default=None)

    def _hint(self, hint: RateHint, in_flight: int, now: float) -> None:
        others = max(in_flight - 1, 0)
        self._requests.observe(hint.requests_limit, hint.requests_remaining, hint.requests_reset_seconds, others, now)
        tokens = others * self._tokens_per_call
        self._tokens.observe(hint.tokens_limit, hint.tokens_remaining, hint.tokens_reset_seconds, tokens, now)

    def _throttled(self, ended: Ended, now: float) -> None:
        self.throttled_at = now
        paced = self.pacing.rate(now) is not None
        cut = self.pacing.refused(ended.granted_at, now)
        shut = self.pacing.shut_for(now)
        mostly_accepted = paced and (
            self.pacing.recent(now).lost < MOSTLY_ACCEPTED if shut is None else shut < SHUT_PATIENCE
        )
        # A provider that goes on accepting limits the rate: the pace is what must change, and nobody has to wait.
        if not mostly_accepted and (not paced or now - self._window_cut_at >= PACE_FIRST):
            self._window_cut_at = now
            cut = self.window.refused(ended.granted_at, now) or cut
        if ended.retry_after and (not mostly_accepted or ended.retry_after >= LONG_WAIT):
            self._paused_until = max(self._paused_until, now + ended.retry_after)
            self.pacing.paused(now, self._paused_until)
        if cut:
            self._say_cut("429", now)

    def _overloaded(self, ended: Ended, now: float) -> None:
        if ended.retry_after:
            self._paused_until = max(self._paused_until, now + ended.retry_after)
        if self.window.refused(ended.granted_at, now):
            self._say_cut("an overload", now)

    def _say_cut(self, why: str, now: float) -> None:
        rate = self._rate(now)
        paced = "" if rate is None else f", {rate:.1f} requests a second"
        text = f"{self.key} cut to {int(self.window.limit)} in flight{paced}, after {why}"
        self._say("limit_cut", text, now, CUT_EVENT_SECONDS)

    def _say(self, kind: str, text: str, now: float, apart: float) -> None:
        if now - self._said_at.get(kind, float("-inf")) >= apart:
            self._said_at[kind] = now
            self.events.append(LimitEvent(kind, text))  # type: ignore[arg-type]
