"""How far judges agree: Krippendorff's alpha for interval data, with a bootstrap interval over what was judged.

Definition: K. Krippendorff, Content Analysis, 3rd ed. (2013), ch. 12: alpha = 1 - observed / expected disagreement,
from the coincidences of values within units. Units with fewer than two values are left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

RESAMPLES = 500
_LEVEL = 0.95


class Alpha(NamedTuple):
    """1 is perfect agreement, 0 what chance gives, below 0 is worse; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def krippendorff_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Alpha over units, each with the values its judges gave; None without two values in a unit.

    Where all values are the same there is nothing to disagree about: 1.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    values = [value for unit in pairable for value in unit]
    n = len(values)
    if not pairable:
        return None
    observed = sum(sum(2 * (a - b) ** 2 for a, b in combinations(unit, 2)) / (len(unit) - 1) for unit in pairable) / n
    # The squared differences of all pairs, by sums instead of pair by pair.
    expected = 2 * (n * sum(one * one for one in values) - sum(values) ** 2) / (n * (n - 1))
    return 1.0 if expected == 0 else 1 - observed / expected


def alpha_with_interval(units: Sequence[Sequence[float]], seed: int = 0) -> Alpha:
    """Alpha and its percentile bootstrap interval, units drawn with replacement. The same input gives the same."""
    value = krippendorff_alpha(units)
    if value is None:
        return Alpha(None)
    generator = random.Random(seed)  # noqa: S311  (a resample, not a secret)
    drawn = (krippendorff_alpha(generator.choices(units, k=len(units))) for _ in range(RESAMPLES))
    found = sorted(one for one in drawn if one is not None)
    edge = int((1 - _LEVEL) / 2 * len(found))
    return Alpha(round(value, 3), round(found[edge], 3), round(found[-1 - edge], 3))
