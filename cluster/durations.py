"""Lengths of time as people write them."""

from __future__ import annotations

import math
import random
import re

from bessemer.cluster.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?\s*[smhdw]\s*)+", re.IGNORECASE)


def parse_duration(text: str | float, name: str = "duration") -> float:
    """Seconds of `90s`, `10m`, `1h30m`, `2d` or a plain number of seconds.

    `name` is the flag or key in the message. Raises UsageError for anything that is no finite length above 0.
    """
    given = str(text).strip()
    try:
        seconds = float(given)
    except ValueError:
        parts = _PART.findall(given) if _WHOLE.fullmatch(given) else []
        seconds = sum(float(number) * _UNITS[unit.lower()] for number, unit in parts)
    if not math.isfinite(seconds) or seconds <= 0:
        raise UsageError(f"{name} {given!r} is not a length of time above 0; give for example 90s, 10m or 1h30m")
    return seconds


def jittered(seconds: float, least: float = 0.5, most: float = 1.0) -> float:
    """Between `least` and `most` times `seconds`, drawn anew each time, so that those who wait do not act at once."""
    return seconds * random.uniform(least, most)  # noqa: S311  (not a secret)
