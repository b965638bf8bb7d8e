"""What the rate headers of an answer say, as a RateHint. A header that cannot be read is as if it were not there."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from bessemer.cluster.limits import RateHint

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ANTHROPIC_TOKENS = ("tokens", "input-tokens", "output-tokens")
_PARTS = ("limit", "remaining", "reset")
_NAMES = {
    kind: (
        tuple(f"anthropic-ratelimit-{kind}-{part}" for part in _PARTS),
        tuple(f"x-ratelimit-{part}-{kind}" for part in _PARTS),
    )
    for kind in ("requests", *_ANTHROPIC_TOKENS)
}
"""The names of a kind's parts in either vendor's spelling."""


def rate_hint(headers: Mapping[str, str], now: datetime | None = None) -> RateHint | None:
    """The hint of an answer's headers (names in any case); None where they say nothing of rates.

    Reads `anthropic-ratelimit-*` and `x-ratelimit-*`. `now` is by default the answer's own `date`, so that a wrong
    local clock does no harm, else this machine's time.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items() if "ratelimit" in name.lower()}
    if not lower:
        return None
    at = now or _date(headers) or datetime.now(UTC)
    said = {**_requests(lower, at), **_tokens(lower, at)}
    kept = {name: value for name, value in said.items() if value is not None}
    return RateHint(**kept) if kept else None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds of `retry-after-ms` or `retry-after`, which may be a number or a date; None where there is none."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    if (milliseconds := _number(lower.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = lower.get("retry-after")
    if (seconds := _number(text)) is not None:
        return seconds
    return _seconds_until(_http_date(text), now or _date(headers) or datetime.now(UTC))


def _requests(headers: Mapping[str, str], now: datetime) -> dict[str, float | None]:
    limit, remaining, reset = _triple(headers, "requests", now)
    return {"requests_limit": limit, "requests_remaining": remaining, "requests_reset_seconds": reset}


def _tokens(headers: Mapping[str, str], now: datetime) -> dict[str, float | None]:
    """The scarcest kind of tokens: a vendor may count input and output apart."""
    found = [_triple(headers, kind, now) for kind in _ANTHROPIC_TOKENS]
    whole = [one for one in found if one[0] and one[1] is not None]
    limit, remaining, reset = min(whole, key=lambda one: (one[1] or 0) / (one[0] or 1), default=(None, None, None))
    return {"tokens_limit": limit, "tokens_remaining": remaining, "tokens_reset_seconds": reset}


def _triple(headers: Mapping[str, str], kind: str, now: datetime) -> tuple[float | None, float | None, float | None]:
    """Limit, remaining and seconds to the reset, in either vendor's spelling."""
    for names in _NAMES[kind]:
        limit, remaining, reset = map(headers.get, names)
        if limit is not None or remaining is not None or reset is not None:
            return _number(limit), _number(remaining), seconds_to(reset, now)
    return None, None, None


def seconds_to(text: str | None, now: datetime) -> float | None:
    """Seconds of a reset: a duration (`6m0s`, `12ms`), a number of seconds, or an RFC 3339 time; None if unreadable."""
    reset = None if text is None else _reset(text)
    return _seconds_until(reset, now) if isinstance(reset, datetime) else reset


@functools.lru_cache(maxsize=256)
def _reset(text: str) -> float | datetime | None:
    if (plain := _number(text)) is not None:
        return plain
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _seconds_until(at: datetime | None, now: datetime) -> float | None:
    if at is None:
        return None
    known = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((known - now).total_seconds(), 0.0)


def _number(text: str | None) -> float | None:
    """A finite number from 0 up; some gateways say -1 for "unknown"."""
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _date(headers: Mapping[str, str]) -> datetime | None:
    return _http_date(next((value for name, value in headers.items() if name.lower() == "date"), None))


@functools.lru_cache(maxsize=64)
def _http_date(text: str | None) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError):
        return None
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)
