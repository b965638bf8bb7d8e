"""A host's side of the cluster's limits: it works on what it was last granted and tells in batches what it did.

| object | role | lifetime |
|---|---|---|
| `SharedLimits` | what a backend service asks; exchanges reports for grants | the host |
| `_SharedKey` | one key: its gate, its last grant, what is still to be told | the host |

A host that finds no limiter goes on with half of its last grant, and less after every refusal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from bessemer.cluster.limits._gate import Gate, clock
from bessemer.cluster.limits._messages import TERM, Burst, EndedCall, Grants, KeyGrant, KeyReport, Report
from bessemer.cluster.limits._types import (
    BreakerState,
    Feedback,
    Lease,
    LimiterState,
    LimitEvent,
    LimitKey,
    LimitPolicy,
    RateHint,
    Terms,
)

Exchange = Callable[[bytes], Awaitable[bytes]]

URGENT, USUAL, CALM, IDLE = 0.02, 0.1, 0.4, 0.5
"""Seconds between reports: with refusals or somebody waiting for a slot, with other news, with news of keys that are
calm, with requests in flight."""
PATIENCE, FIRST_PATIENCE = 1.0, 10.0
"""Seconds within which the limiter answers, or counts as away; the first time it may still be starting."""
AWAY_PAUSE = 0.5
"""Seconds between tries to reach a limiter that is away."""
ALONE = 0.5
"""Part of its last grant that a host goes on with alone."""
ALONE_AT_FIRST = 8
"""Slots of a host that never had a grant and finds no limiter."""
VALID = TERM - 0.5
"""Seconds a grant is used: less than the limiter waits, so that its slots are never used twice."""
MEMORY = 60.0
"""Seconds for which a limiter that starts anew is told what the last one granted."""
SLOT = 0.02

_log = logging.getLogger(__name__)


class _SharedKey:
    def __init__(self, key: LimitKey, policy: LimitPolicy, changed: Callable[[bool], None]) -> None:
        self.key = key
        self.policy = policy
        self.gate = Gate(key, self._terms, self._granted)
        self.grant: KeyGrant | None = None
        self.granted_at = float("-inf")
        self.alone: Terms | None = None
        self.ended: list[EndedCall] = []
        self._cut_at = float("-inf")
        self._sent: dict[float, int] = {}
        self._changed = changed

    @property
    def starved(self) -> bool:
        """Whether somebody waits who could go if there were another slot."""
        if not self.gate.waiting:
            return False
        return self.gate.in_flight >= self._terms(clock()).slots

    @property
    def calm(self) -> bool:
        """Whether nobody needs to know soon what happens: the key is this host's alone, half free and not paced."""
        grant = self.grant
        if grant is None or self.alone is not None or grant.hosts > 1:
            return False
        paced = grant.rate is not None or grant.token_rate is not None or grant.paused or grant.open is not None
        return not paced and self.gate.in_flight <= grant.slots // 2

    @property
    def busy(self) -> bool:
        return bool(self.gate.in_flight or self.gate.waiting or self.ended or self._sent)

    def fresh(self, now: float) -> bool:
        return self.grant is not None and now - self.granted_at < VALID

    def end(self, ended: EndedCall) -> None:
        """`ended.age` is a loop time here, and becomes an age in the report."""
        self.ended.append(ended)
        refused = ended.feedback in ("throttled", "overloaded")
        if self.alone is not None and refused and ended.age > self._cut_at:
            self.alone, self._cut_at = _less(self.alone), clock()
        if self.grant is not None and self.grant.probes and ended.feedback != "ok":
            self.grant = self.grant.model_copy(update={"probes": 0})  # the one try there was has failed
        self._changed(ended.feedback not in ("ok", "unsent"))

    def report(self, now: float) -> KeyReport:
        """What is to be told; it is forgotten here, and put back if it does not arrive."""
        ended = [one._replace(age=max(now - one.age, 0.0)) for one in self.ended]
        sent = [Burst(max(now - at, 0.0), count) for at, count in self._sent.items()]
        self.ended, self._sent = [], {}
        known = self.grant if now - self.granted_at < MEMORY else None
        return KeyReport(
            key=self.key,
            policy=self.policy,
            flows=self.gate.flows(),
            sent=sent,
            ended=ended,
            known_limit=None if known is None else known.limit,
            known_rate=None if known is None else known.learned_rate,
            known_slots=0 if known is None else known.slots,
        )

    def take(self, grant: KeyGrant, asked_at: float) -> None:
        fewer = self.grant is not None and grant.slots < self.grant.slots
        self.grant, self.granted_at, self.alone = grant, asked_at, None
        if fewer:
            self._changed(not self.busy)  # the limiter gives slots on when it hears that they are not used any more
        self.gate.weigh(grant.weights)
        self.gate.wake()

    def go_alone(self, now: float) -> None:
        """The limiter is away: go on with part of what was granted."""
        if self.alone is None and not self.fresh(now):
            last = self.grant
            if last is None:
                self.alone = Terms(slots=min(int(self.policy.initial), ALONE_AT_FIRST))
            else:
                rate = None if last.rate is None else last.rate * ALONE
                tokens = None if last.token_rate is None else last.token_rate * ALONE
                self.alone = Terms(slots=max(int(last.slots * ALONE), 1), rate=rate, token_rate=tokens)
        self.gate.wake()

    def state(self) -> LimiterState:
        now = clock()
        terms, grant = self._terms(now), self.grant
        breaker: BreakerState = "closed"
        if terms.open_until is not None:
            breaker = "open" if now < terms.open_until else "half_open"
        throttled = None if grant is None or grant.last_throttled is None else grant.last_throttled
        return LimiterState(
            limit=float(terms.slots),
            in_flight=self.gate.in_flight,
            waiting=self.gate.waiting,
            breaker=breaker,
            rate=terms.rate,
            last_throttled=None if throttled is None else throttled + now - self.granted_at,
            hosts=1 if grant is None else grant.hosts,
            flows=self.gate.flows(),
        )

    def _granted(self, now: float) -> None:
        slot = now - now % SLOT
        self._sent[slot] = self._sent.get(slot, 0) + 1

    def _terms(self, now: float) -> Terms:
        if self.alone is not None:
            return self.alone
        grant = self.grant
        if grant is None or not self.fresh(now):
            return Terms(slots=0)
        return Terms(
            slots=grant.slots,
            rate=grant.rate,
            token_rate=grant.token_rate,
            paused_until=self.granted_at + grant.paused if grant.paused else 0.0,
            open_until=None if grant.open is None else self.granted_at + grant.open,
            probes=grant.probes,
            denied=grant.denied,
            reason=grant.reason,
        )


class SharedLimits:
    """Limits shared with every host of the cluster. Belongs to one event loop."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        host: str,
        home: str = "",
        policies: Mapping[str, LimitPolicy] | None = None,
        default: LimitPolicy | None = None,
    ) -> None:
        """`exchange` brings a report to the limiter and its grants back, as JSON; it may raise anything.

        `host` names this incarnation; `policies` are by provider, `default` for the others.
        """
        self._exchange = exchange
        self._host, self._home = host, home
        self._policies = policies or {}
        self._default = default or LimitPolicy()
        self._keys: dict[LimitKey, _SharedKey] = {}
        self._events: list[LimitEvent] = []
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()
        self._met = False
        self.away = False
        """Whether the limiter did not answer when last asked."""

    async def acquire(
        self, key: LimitKey, within: float, *, flow: str = "", weight: float = 1.0, tokens: float = 0.0
    ) -> Lease:
        """A lease for one request. Raises DeadlineExceeded after `within` seconds, CircuitOpen at once."""
        shared = self._key(key)
        ready = shared.fresh(clock()) and not shared.starved
        self._changed(not ready)
        try:
            return await shared.gate.acquire(within, flow, weight, tokens)
        finally:
            if shared.starved:
                self._changed(True)

    async def release(
        self,
        lease: Lease,
        feedback: Feedback,
        retry_after: float | None = None,
        *,
        hint: RateHint | None = None,
        tokens: float | None = None,
        reason: str = "",
    ) -> None:
        """End a lease; releasing one twice changes nothing."""
        shared = self._key(lease.key)
        held = shared.gate.finish(lease, 0.0 if feedback == "unsent" else tokens)
        if held is None:
            return
        shared.end(EndedCall(feedback, held.granted_at, retry_after, hint, tokens, reason))
        shared.gate.wake()

    def states(self) -> dict[str, LimiterState]:
        """This host's part of every key, by its name."""
        return {str(key): shared.state() for key, shared in self._keys.items()}

    def take_events(self) -> list[LimitEvent]:
        """What happened since the last call."""
        taken, self._events = self._events, []
        return taken

    async def close(self) -> None:
        """Stop telling the limiter anything; it notices after a term."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _key(self, key: LimitKey) -> _SharedKey:
        if key not in self._keys:
            policy = self._policies.get(key.provider, self._default)
            self._keys[key] = _SharedKey(key, policy, self._changed)
        return self._keys[key]

    def _changed(self, urgent: bool) -> None:
        self._news.set()
        if urgent:
            self._urgent.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Report as long as there is something to tell or somebody in flight."""
        while keys := [shared for shared in self._keys.values() if shared.busy or self._news.is_set()]:
            self._news.clear()
            self._urgent.clear()
            await self._report(keys)
            await asyncio.sleep(AWAY_PAUSE if self.away else URGENT)
            if not (self.away or self._urgent.is_set() or any(shared.starved for shared in keys)):
                usual = CALM if all(shared.calm for shared in keys) else USUAL
                await self._until(self._urgent, usual - URGENT)
                if not self._news.is_set():
                    await self._until(self._news, IDLE - usual)

    @staticmethod
    async def _until(event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    async def _report(self, keys: list[_SharedKey]) -> None:
        now = clock()
        told = [shared.ended for shared in keys]
        report = Report(host=self._host, home=self._home, keys=[shared.report(now) for shared in keys])
        try:
            async with asyncio.timeout(PATIENCE if self._met or self.away else FIRST_PATIENCE):
                raw = await self._exchange(report.model_dump_json().encode())
            answer = Grants.model_validate_json(raw)
        except Exception as error:
            self._lost(keys, told, error)
            return
        self._met, self.away = True, False
        self._events.extend(answer.events)
        for shared, grant in zip(keys, answer.grants, strict=True):
            shared.take(grant, now)

    def _lost(self, keys: list[_SharedKey], told: list[list[EndedCall]], error: Exception) -> None:
        if not self.away:
            _log.warning("the limiter is away (%s): going on with part of the last grant", type(error).__name__)
        self.away = True
        for shared, ended in zip(keys, told, strict=True):
            # Refusals must still reach the limiter; of the answers the newest are enough.
            shared.ended = [*ended, *shared.ended][-200:]
            shared.go_alone(clock())


def _less(terms: Terms) -> Terms:
    """Alone, and refused: half of it."""
    rate = None if terms.rate is None else max(terms.rate / 2, 0.05)
    return terms._replace(slots=max(terms.slots // 2, 1), rate=rate)
