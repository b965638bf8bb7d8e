"""Schulze's method: the widest path between candidates (Schulze 2011, "A new monotonic … single-winner method")."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

Ballot = tuple[tuple[str, ...], tuple[str, ...]]
"""Candidates, the best first, and those that rank below all of them. What was not shown is not compared."""


def schulze_winners(ballots: Sequence[Ballot]) -> set[str]:
    """The candidates that no other beats by a wider path; several only in a tie."""
    candidates = sorted({one for ranked, rest in ballots for one in (*ranked, *rest)})
    width = _preferences(candidates, ballots)
    for through, one, other in product(candidates, repeat=3):
        if len({through, one, other}) == 3:
            detour = min(width[one, through], width[through, other])
            width[one, other] = max(width[one, other], detour)
    return {
        one for one in candidates if all(width[one, other] >= width[other, one] for other in candidates if other != one)
    }


def _preferences(candidates: Sequence[str], ballots: Sequence[Ballot]) -> dict[tuple[str, str], int]:
    """For every ordered pair, how many prefer the first, where more prefer it than the second; else 0."""
    prefer = dict.fromkeys(product(candidates, repeat=2), 0)
    for ranked, rest in ballots:
        for place, one in enumerate(ranked):
            for other in (*ranked[place + 1 :], *rest):
                prefer[one, other] += 1
    return {(a, b): n if n > prefer[b, a] else 0 for (a, b), n in prefer.items()}
