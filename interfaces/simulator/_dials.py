"""What can be set, on the command line and while the simulator runs: latency, faults, rates."""

from __future__ import annotations

import math
import random
from typing import Literal, NamedTuple, get_args

from bessemer.cluster.errors import SettingsError

FaultKind = Literal[
    "rate_limited",
    "overloaded",
    "server_error",
    "timeout",
    "slow",
    "dropped",
    "truncated",
    "refusal",
    "content_filter",
    "malformed",
    "empty",
    "context_length",
    "bad_request",
    "auth",
    "permission",
    "html",
    "batch_dropped",
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


class Fault(NamedTuple):
    """A share of requests that go wrong in one way."""

    rate: float
    """0 to 1."""
    kind: FaultKind
    seconds: float | None = None
    """`retry-after` of rate_limited and overloaded, the extra wait of slow, the time to silence of timeout."""


class Latency(NamedTuple):
    """Seconds until an answer."""

    shape: Literal["fixed", "uniform", "lognormal"] = "fixed"
    first: float = 0.0
    """The value, the lower end, or the median."""
    second: float = 0.0
    """The upper end, or sigma."""

    def draw(self, chance: random.Random) -> float:
        if self.shape == "uniform":
            return chance.uniform(self.first, self.second)
        if self.shape == "lognormal":
            return self.first * math.exp(self.second * chance.gauss(0.0, 1.0))
        return self.first


class RateStep(NamedTuple):
    """From `start` seconds on, so many requests a second."""

    start: float
    rate: float


RatePlan = tuple[RateStep, ...]


def parse_fault(text: str) -> Fault:
    """Read `RATE:KIND` or `RATE:KIND:SECONDS`. Raises SettingsError."""
    rate, _, rest = text.partition(":")
    kind, _, seconds = rest.partition(":")
    found = next((known for known in FAULT_KINDS if known == kind.strip()), None)
    share = _number(rate)
    if found is None or share is None or not 0 <= share <= 1:
        raise SettingsError(
            f"fault {text!r} is not RATE:KIND[:SECONDS]; RATE is 0 to 1, KIND one of {', '.join(FAULT_KINDS)}"
        )
    if not seconds:
        return Fault(share, found)
    wait = _number(seconds)
    if wait is None or wait < 0:
        raise SettingsError(f"fault {text!r} ends with {seconds!r}, which is not a number of seconds")
    return Fault(share, found, wait)


def parse_faults(texts: list[str] | tuple[str, ...]) -> tuple[Fault, ...]:
    """Read several. Raises SettingsError, also when their rates are together more than 1."""
    faults = tuple(parse_fault(text) for text in texts)
    if (total := sum(fault.rate for fault in faults)) > 1 + 1e-9:
        raise SettingsError(f"the faults' rates are {total:g} together; at most 1 of all requests can fail")
    return faults


def parse_latency(text: str) -> Latency:
    """Read `0.2`, `uniform:0.1-0.4` or `lognormal:0.2,0.5`. Raises SettingsError."""
    shape, colon, rest = text.strip().partition(":")
    if not colon:
        numbers = [_number(shape)]
        found = Latency("fixed", numbers[0] or 0.0)
    elif shape == "uniform":
        numbers = [_number(part) for part in rest.split("-")]
        found = Latency("uniform", numbers[0] or 0.0, (numbers[-1] or 0.0))
    else:
        numbers = [_number(part) for part in rest.split(",")] if shape == "lognormal" else []
        found = Latency("lognormal", *[number or 0.0 for number in numbers[:2]])
    wanted = 2 if colon else 1
    if len(numbers) != wanted or any(number is None or number < 0 for number in numbers):
        raise SettingsError(f"latency {text!r} is not seconds, uniform:LOW-HIGH or lognormal:MEDIAN,SIGMA")
    if found.shape == "uniform" and found.second < found.first:
        raise SettingsError(f"latency {text!r}: {found.second:g} is below {found.first:g}; write uniform:LOW-HIGH")
    return found


def parse_rate(text: str) -> RatePlan:
    """Read `50` or `100,50@30,100@60`: requests a second, and from which second on. Raises SettingsError."""
    steps: list[RateStep] = []
    for part in text.split(","):
        rate, at, start = part.strip().partition("@")
        value, since = _number(rate), _number(start) if at else 0.0
        if value is None or value <= 0 or since is None or since < 0 or (bool(at) != bool(steps)):
            raise SettingsError(f"rate {text!r} is not N or N,N@SECONDS,…; each N is above 0")
        if steps and since <= steps[-1].start:
            raise SettingsError(f"rate {text!r}: {since:g} s does not come after {steps[-1].start:g} s")
        steps.append(RateStep(since, value))
    return tuple(steps)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
