"""The limits of a whole cluster: one control for each key, shared out to hosts by the demand and weight of their runs.

| object | role | lifetime |
|---|---|---|
| `Shares` | every key; answers the hosts' reports | the limiter actor |
| `_KeyShares` | one key: its control and its hosts | while a host uses it |
| `_Part` | one host's demand, and the slots it may use | until it is silent for a term |
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field

from bessemer.cluster.limits._control import Control
from bessemer.cluster.limits._messages import TERM, Grants, KeyGrant, KeyReport, Report
from bessemer.cluster.limits._types import Ended, FlowState, LimiterState, LimitEvent, LimitKey, Terms

UNUSED_SECONDS = 900.0
"""A key that no host has used for so long is forgotten."""
PROBE_SECONDS = 3.0
"""How long a host may take to try an open breaker before another one may."""
KEPT_EVENTS = 200
IDLE_SLOTS = 4.0
"""Slots that a host without any request keeps at most, so that its next ones need not wait for a message."""
ROOM = 1.2
"""How much more than it last used a host gets that has nobody waiting."""


def water_fill(total: float, demands: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
    """Share `total` in proportion to weight, nobody getting more than its demand (weighted max-min fairness)."""
    given = dict.fromkeys(demands, 0.0)
    hungry = {name for name, demand in demands.items() if demand > 0}
    while hungry and total > 1e-9:
        weight = sum(weights[name] for name in hungry)
        level = min((demands[name] - given[name]) / weights[name] for name in hungry)
        level = min(level, total / weight)
        for name in hungry:
            given[name] += level * weights[name]
        total -= level * weight
        hungry = {name for name in hungry if demands[name] - given[name] > 1e-9}
    return given


def whole(shares: dict[str, float], total: int, order: dict[str, float]) -> dict[str, int]:
    """Shares as whole slots that add up to `total` at most; what is left over goes by `order`, the least first."""
    slots = {name: math.floor(share + 1e-9) for name, share in shares.items()}
    left = min(total, math.floor(sum(shares.values()) + 1e-6)) - sum(slots.values())
    rest = sorted((name for name in shares if shares[name] - slots[name] > 1e-9), key=lambda name: order[name])
    for name in rest[: max(left, 0)]:
        slots[name] += 1
    return slots


@dataclass
class _Part:
    seen_at: float
    flows: dict[str, FlowState] = field(default_factory=dict)
    granted: int = 0
    before: int = 0
    """Slots of the grant before, which it may have used after its last report was on its way."""
    known: int = 0
    """Slots of the last grant it heard, from whichever limiter."""
    sent: float = 0.0
    """Requests of the last seconds, older ones counting less."""
    served: float = 0.0
    """Requests in all, by weight: who had fewer gets a slot that cannot be divided."""

    @property
    def in_flight(self) -> int:
        return sum(flow.in_flight for flow in self.flows.values())

    @property
    def waiting(self) -> int:
        return sum(flow.waiting for flow in self.flows.values())

    @property
    def held(self) -> int:
        """Slots that may be in use."""
        return max(self.granted, self.before, self.in_flight)


class _KeyShares:
    def __init__(self, first: KeyReport, now: float) -> None:
        self.control = Control(first.key, first.policy)
        self._learning_until = float("-inf")
        if first.known_limit is not None:
            # Hosts that have not reported yet may use what the limiter before this one granted them.
            self._learning_until = now + TERM
            self.control.learn(first.known_limit, first.known_rate, now)
        self.parts: dict[str, _Part] = {}
        self.used_at = now
        self._prober = ("", float("-inf"))

    def take(self, host: str, report: KeyReport, now: float) -> None:
        """Learn from a host's report."""
        self.used_at = now
        if host not in self.parts:
            # A host has a name of its own: where another incarnation of it speaks, the old one is dead.
            name = host.partition("@")[0]
            self.parts = {one: part for one, part in self.parts.items() if one.partition("@")[0] != name}
            served = min((part.served for part in self.parts.values()), default=0.0)
            self.parts[host] = _Part(now, served=served)
        part = self.parts[host]
        passed, count = now - part.seen_at, sum(burst.requests for burst in report.sent)
        part.sent = part.sent * math.exp(-passed) + count
        part.served += count / max(sum(flow.weight for flow in report.flows.values()), 1e-6)
        part.flows, part.seen_at, part.known = report.flows, now, report.known_slots
        for burst in report.sent:
            self.control.sent(burst.requests, now - burst.age)
        flying = sum(one.in_flight for one in self.parts.values()) + len(report.ended)
        for end in report.ended:
            ended = Ended(end.feedback, now - end.age, end.retry_after, end.hint, end.tokens, end.reason)
            self.control.ended(ended, flying, now)
            flying -= 1

    def grant(self, host: str, now: float) -> KeyGrant:
        """What a host may do now."""
        self._forget_silent(now)
        terms, part = self.control.terms(now), self.parts[host]
        part.before = part.granted
        weights = self._weights()
        others = sum(one.held for name, one in self.parts.items() if name != host)
        # What another host may still use is not given twice, so more than the limit is never in flight.
        part.granted = max(min(self._slots(terms.slots, weights)[host], terms.slots - others), 0)
        if now < self._learning_until:
            part.granted = min(part.granted, part.known)
        total = sum(sum(flows.values()) for flows in weights.values())
        mine = sum(weights[host].values()) / total if total else 1 / len(self.parts)
        throttled = self.control.throttled_at
        return KeyGrant(
            slots=part.granted,
            rate=None if terms.rate is None else self._rates(terms.rate, weights)[host],
            token_rate=None if terms.token_rate is None else terms.token_rate * mine,
            paused=max(terms.paused_until - now, 0.0),
            open=None if terms.open_until is None else terms.open_until - now,
            probes=self._probes(host, terms, now),
            denied=terms.denied,
            reason=terms.reason,
            weights=weights[host],
            limit=self.control.window.limit,
            learned_rate=self.control.learned_rate(now),
            last_throttled=None if throttled is None else now - throttled,
            hosts=len(self.parts),
        )

    def state(self, now: float) -> LimiterState:
        self._forget_silent(now)
        flows: dict[str, FlowState] = {}
        for part in self.parts.values():
            for name, flow in part.flows.items():
                seen = flows.get(name, FlowState(0, 0, flow.weight))
                flows[name] = FlowState(seen.in_flight + flow.in_flight, seen.waiting + flow.waiting, flow.weight)
        throttled = self.control.throttled_at
        return LimiterState(
            limit=self.control.window.limit,
            in_flight=sum(flow.in_flight for flow in flows.values()),
            waiting=sum(flow.waiting for flow in flows.values()),
            breaker=self.control.breaker.state(now),
            rate=self.control.terms(now).rate,
            last_throttled=None if throttled is None else now - throttled,
            hosts=len(self.parts),
            flows=flows,
        )

    def _forget_silent(self, now: float) -> None:
        self.parts = {name: part for name, part in self.parts.items() if now - part.seen_at <= TERM}

    def _weights(self) -> dict[str, dict[str, float]]:
        """By host and flow: a flow's weight, divided over its hosts by what it has there."""
        whole_flows: dict[str, int] = {}
        for part in self.parts.values():
            for name, flow in part.flows.items():
                whole_flows[name] = whole_flows.get(name, 0) + flow.in_flight + flow.waiting
        return {
            host: {
                name: flow.weight * (flow.in_flight + flow.waiting) / whole_flows[name]
                for name, flow in part.flows.items()
                if flow.in_flight + flow.waiting
            }
            for host, part in self.parts.items()
        }

    def _slots(self, total: int, weights: dict[str, dict[str, float]]) -> dict[str, int]:
        """Slots by host: what the runs there need, in fairness, and an equal part of what nobody needs."""
        demands: dict[str, float] = {}
        weight: dict[str, float] = {}
        for part in self.parts.values():
            for name, flow in part.flows.items():
                demands[name] = demands.get(name, 0.0) + flow.in_flight + flow.waiting
                weight[name] = flow.weight
        given = water_fill(total, demands, weight)
        left = total - sum(given.values())
        idle = [host for host, flows in weights.items() if not flows]
        spare = dict.fromkeys(idle, min(IDLE_SLOTS, total / 8, left / len(self.parts)))
        busy = len(self.parts) - len(idle)
        shares = {
            host: spare.get(host, (left - sum(spare.values())) / max(busy, 1))
            + sum(given[name] * mine / weight[name] for name, mine in flows.items())
            for host, flows in weights.items()
        }
        return whole(shares, total, {host: part.served for host, part in self.parts.items()})

    def _rates(self, rate: float, weights: dict[str, dict[str, float]]) -> dict[str, float]:
        """Requests a second by host: those with somebody waiting share by weight what the others leave."""
        demands = {
            host: math.inf if part.waiting else part.sent * ROOM + 0.02 * rate for host, part in self.parts.items()
        }
        given = water_fill(rate, demands, {host: sum(flows.values()) or 1.0 for host, flows in weights.items()})
        spare = max(rate - sum(given.values()), 0.0) / len(self.parts)
        return {host: max(one + spare, 1e-3) for host, one in given.items()}

    def _probes(self, host: str, terms: Terms, now: float) -> int:
        """One host may try an open breaker; it keeps that right until it was silent about it for a while."""
        if terms.open_until is None:
            self._prober = ("", float("-inf"))
            return 0
        name, until = self._prober
        if name != host and now > until:
            name = host
            self._prober = (host, max(terms.open_until, now) + PROBE_SECONDS)
        return terms.probes if name == host else 0


class Shares:
    """Answers reports of hosts. Holds nothing that the next reports would not bring back."""

    def __init__(self) -> None:
        self._keys: dict[LimitKey, _KeyShares] = {}
        self._events: deque[tuple[int, LimitEvent]] = deque(maxlen=KEPT_EVENTS)
        self._numbers = itertools.count(1)
        self._told: dict[str, int] = {}

    def exchange(self, report: Report, now: float) -> Grants:
        """Learn what a host did, and say what it may do."""
        for one in report.keys:
            if one.key not in self._keys:
                self._forget_unused(now)
                self._keys[one.key] = _KeyShares(one, now)
            shares = self._keys[one.key]
            shares.control.set_policy(one.policy)
            shares.take(report.host, one, now)
            self._events.extend((next(self._numbers), event) for event in shares.control.take_events())
        grants = [self._keys[one.key].grant(report.host, now) for one in report.keys]
        return Grants(grants=grants, events=self._news(report.home))

    def states(self, now: float) -> dict[str, LimiterState]:
        """What every key does now, by its name."""
        return {str(key): shares.state(now) for key, shares in sorted(self._keys.items())}

    def _news(self, home: str) -> list[LimitEvent]:
        told = self._told.get(home, 0)
        news = [event for number, event in self._events if number > told]
        if self._events:
            self._told[home] = self._events[-1][0]
        return news

    def _forget_unused(self, now: float) -> None:
        self._keys = {key: one for key, one in self._keys.items() if now - one.used_at < UNUSED_SECONDS}
