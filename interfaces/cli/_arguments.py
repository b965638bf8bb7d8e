"""Flags that take several values, written side by side or repeated."""

from __future__ import annotations

from collections.abc import Collection, Sequence

SPREAD = frozenset({"--probe", "--eval-backends", "--backends", "--artifacts"})
"""Flags whose values may stand side by side: `--probe "pytest -q" "ruff check"`."""


def spread_values(arguments: Sequence[str], several: Collection[str]) -> list[str]:
    """`--probe A B` becomes `--probe A --probe B`, up to the next flag or `--`.

    Only flags in both `SPREAD` and `several` (the command's own repeatable flags) are spread; `--probe=A` takes one
    value. A positional argument therefore stands before such a flag or after `--`.
    """
    spread: list[str] = []
    flag = ""
    taken = 0
    for position, word in enumerate(arguments):
        if word == "--":
            return [*spread, *arguments[position:]]
        if flag and (taken == 0 or not word.startswith("-")):
            spread += [flag, word]
            taken += 1
            continue
        flag, taken = (word, 0) if word in SPREAD and word in several else ("", 0)
        if not flag:
            spread.append(word)
    # A flag without any value goes through, so that the parser says so.
    return [*spread, flag] if flag and taken == 0 else spread


def swallowed(arguments: Sequence[str]) -> tuple[str, str]:
    """The spread flag and the last value it took, for the message about a missing argument; empty if none did."""
    found = ("", "")
    flag = ""
    for word in arguments:
        if word == "--":
            return "", ""
        if word.startswith("-"):
            flag = word if word in SPREAD else ""
        elif flag:
            found = (flag, word)
    return found
