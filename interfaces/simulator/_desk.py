"""Where every request arrives, whichever vendor's format it came in: limits, faults, answer, books."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bessemer.actors.backends import scenario as scenarios
from bessemer.cluster.errors import SettingsError
from bessemer.interfaces.simulator._answers import Answer, compose, measured, scripted, spoil
from bessemer.interfaces.simulator._asked import Asked, digest_of
from bessemer.interfaces.simulator._books import Books
from bessemer.interfaces.simulator._cache import Cached, PromptCache
from bessemer.interfaces.simulator._dials import (
    Fault,
    FaultKind,
    Latency,
    parse_faults,
    parse_latency,
    parse_rate,
)
from bessemer.interfaces.simulator._limits import Allowance, Limits
from bessemer.interfaces.simulator._schema_values import Unsatisfiable
from bessemer.interfaces.simulator._settings import Settings

STATUS: dict[FaultKind, int] = {
    "rate_limited": 429,
    "overloaded": 503,
    "server_error": 500,
    "context_length": 400,
    "bad_request": 400,
    "auth": 401,
    "permission": 403,
    "html": 200,
}
"""Kinds that are told by an HTTP status instead of an answer."""
TRANSPORT: frozenset[FaultKind] = frozenset({"timeout", "dropped", "html"})
SLOW_FACTOR, SLOW_LEAST = 10.0, 2.0
MESSAGES: dict[FaultKind, str] = {
    "rate_limited": "This request would exceed your rate limit.",
    "overloaded": "The model is overloaded. Please try again later.",
    "server_error": "An internal error has occurred.",
    "context_length": "prompt is too long: it exceeds the context window of the model",
    "bad_request": "The request is not valid.",
    "auth": "The API key is not valid.",
    "permission": "The API key may not use this model.",
}
_FROM_SCENARIO: dict[str, FaultKind] = {
    "connection": "dropped",
    "malformed_output": "malformed",
    "infrastructure": "server_error",
    "unpriced": "bad_request",
    "budget": "rate_limited",
    "cancelled": "server_error",
}


class Failed(NamedTuple):
    """An error instead of an answer."""

    kind: FaultKind
    status: int
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """What one request gets."""

    reply: Answer | Failed
    request_id: str
    act: FaultKind | None = None
    """timeout, dropped or html: something that the connection does instead of an answer."""
    wait: float = 0.0
    """Seconds until the answer."""
    silence: float | None = None
    """Seconds until a connection that never answers is closed."""
    allowance: Allowance | None = None
    chance: float = 0.0
    """0 to 1, drawn from the request; says where a connection is cut."""


@dataclass(slots=True)
class Desk:
    """Everything the vendors' front ends share."""

    settings: Settings
    latency: Latency = field(init=False)
    faults: tuple[Fault, ...] = field(init=False)
    limits: Limits = field(init=False)
    books: Books = field(init=False)
    cache: PromptCache = field(default_factory=PromptCache)
    refreshers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What brings the batches to where they should be by now."""
    _scenario: scenarios.Scenario | None = field(init=False)
    _seen: Counter[bytes] = field(default_factory=Counter)
    _serial: int = 0

    def __post_init__(self) -> None:
        given = self.settings
        self.latency = parse_latency(given.latency)
        self.faults = parse_faults(given.faults)
        self.limits = Limits(parse_rate(given.rate) if given.rate else None, given.concurrency)
        self._scenario = scenarios.load_scenario(given.scenario) if given.scenario is not None else None
        self.books = Books(given.books)

    @contextmanager
    def receive(self, asked: Asked) -> Iterator[Served]:
        """Decide what a live request gets, write it down, and count it as in flight."""
        allowance = self.limits.admit(asked.model)
        self.limits.enter(asked.model)
        try:
            yield self._serve(asked, allowance)
        finally:
            self.limits.leave(asked.model)

    def work(self, asked: Asked) -> Served:
        """Decide what a request of a batch gets, and write it down. Limits do not count here."""
        return self._serve(asked, None)

    def request_id(self) -> str:
        self._serial += 1
        return digest_of(f"{self.settings.seed}/{self._serial}".encode()).hex()[:24]

    def set(self, name: str, value: Any) -> None:
        """Change one of latency, faults, rate, concurrency, batch_seconds, batch_expires. Raises SettingsError."""
        if name == "latency":
            self.latency = parse_latency(str(value))
        elif name == "faults":
            value = tuple(map(str, value if isinstance(value, list | tuple) else [value]))
            self.faults = parse_faults(value)
        elif name == "rate":
            value = "" if value is None else str(value)
            self.limits.set_rate(parse_rate(value) if value else None)
        elif name == "concurrency":
            self.limits.concurrency = value = _count(value)
        elif name in ("batch_seconds", "batch_expires"):
            value = parse_latency(str(value)).first
        else:
            known = "latency, faults, rate, concurrency, batch_seconds, batch_expires"
            raise SettingsError(f"{name!r} cannot be changed; known are {known}")
        self.settings = replace(self.settings, **{name: value})

    def _serve(self, asked: Asked, allowance: Allowance | None) -> Served:
        self._seen[asked.digest] += 1
        count = self._seen[asked.digest]
        identity = self.request_id()
        if allowance is not None and allowance.retry_after is not None:
            return self._refuse(asked, identity, "rate_limited", allowance.retry_after, allowance)
        told = scripted(asked, self._scenario, count) if self._scenario is not None else None
        draws = self._chance(asked, f"fate {count}")
        fault, seconds = self._fault(told, draws, batch=bool(asked.batch))
        if fault in STATUS and fault not in TRANSPORT:
            after = seconds if seconds is not None or fault != "rate_limited" else 1.0
            return self._refuse(asked, identity, fault, after, allowance, told.message if told is not None else "")
        return self._reply(asked, identity, told, fault, seconds, draws, allowance)

    def _reply(
        self,
        asked: Asked,
        identity: str,
        told: scenarios.Answer | None,
        fault: FaultKind | None,
        seconds: float | None,
        draws: random.Random,
        allowance: Allowance | None,
    ) -> Served:
        wait = 0.0 if asked.batch else self.latency.draw(draws)
        if told is not None and told.latency:
            wait = told.latency
        if fault == "slow":
            wait = wait + seconds if seconds is not None else max(SLOW_LEAST, wait * SLOW_FACTOR)
        plain = told if told is not None and told.fail is None else None
        try:
            answer = spoil(compose(asked, plain, self._chance(asked, "answer")), fault)
        except Unsatisfiable as error:
            message = f"no value satisfies the schema: {error}"
            return self._refuse(asked, identity, "bad_request", None, allowance, message)
        now = time.monotonic()
        billed = fault != "html"
        cached = self.cache.pass_through(asked, now, now + wait) if billed else Cached()
        answer = measured(asked, answer, cached, told)
        act = fault if fault in TRANSPORT else None
        outcome = "answered" if fault is None or fault == "slow" else fault
        usage = answer.usage if billed else None
        self.books.enter(asked, status=200, outcome=outcome, billed=billed, usage=usage, request_id=identity)
        silence = seconds if act == "timeout" else None
        return Served(answer, identity, act, wait, silence, allowance, draws.random())

    def _refuse(
        self,
        asked: Asked,
        identity: str,
        kind: FaultKind,
        after: float | None,
        allowance: Allowance | None,
        message: str = "",
    ) -> Served:
        status = 529 if kind == "overloaded" and asked.vendor == "anthropic" else STATUS[kind]
        self.books.enter(asked, status=status, outcome=kind, billed=False, usage=None, request_id=identity)
        failed = Failed(kind, status, message or MESSAGES[kind], after)
        return Served(failed, identity, allowance=allowance)

    def _fault(
        self, told: scenarios.Answer | None, draws: random.Random, *, batch: bool
    ) -> tuple[FaultKind | None, float | None]:
        """What goes wrong: what the scenario says, else what is drawn. In a batch, no connection can break."""
        if told is not None and told.fail is not None:
            kind: FaultKind = _FROM_SCENARIO.get(told.fail, told.fail)  # type: ignore[arg-type]
            return kind, told.retry_after
        drawn = draws.random()
        for fault in self.faults:
            drawn -= fault.rate
            if drawn < 0:
                skipped = fault.kind == "batch_dropped" or (batch and fault.kind in TRANSPORT | {"slow"})
                return (None, None) if skipped else (fault.kind, fault.seconds)
        return None, None

    def submission_is_lost(self, body: bytes) -> bool:
        """Whether the answer to this submission of a batch gets lost. The batch is made all the same."""
        rate = sum(fault.rate for fault in self.faults if fault.kind == "batch_dropped")
        if not rate:
            return False
        digest = digest_of(b"submission", body)
        self._seen[digest] += 1
        drawn = random.Random(f"{self.settings.seed}/{digest.hex()}/{self._seen[digest]}").random()  # noqa: S311
        return drawn < rate

    def _chance(self, asked: Asked, what: str) -> random.Random:
        return random.Random(digest_of(f"{self.settings.seed}/{what}/".encode(), asked.digest))  # noqa: S311


def _count(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and value > 0):
        return value
    raise SettingsError(f"concurrency {value!r} is not a number above 0; null takes the limit away")
