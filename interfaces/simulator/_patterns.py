"""Text that a regular expression matches: enough of the syntax for the patterns that schemas carry."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Sequence
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]
from typing import Any

ALPHABET = string.ascii_letters + string.digits + " _-.,:/"
MOST_REPEATS = 6
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_NOT_DIGIT": lambda one: not one.isdigit(),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda one: not one.isspace(),
    "CATEGORY_WORD": lambda one: one.isalnum() or one == "_",
    "CATEGORY_NOT_WORD": lambda one: not (one.isalnum() or one == "_"),
}


def text_for(pattern: str, chance: random.Random) -> str:
    """Text in which `pattern` is found, as far as look-arounds allow; nonsense for one that does not compile."""
    try:
        parsed = _parsed(pattern)
    except re.error:
        return "x"
    return _Writer(chance).write(parsed)


@lru_cache(maxsize=512)
def _parsed(pattern: str) -> Sequence[Any]:
    return list(_parser.parse(pattern))


class _Writer:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._groups: dict[int, str] = {}

    def write(self, nodes: Sequence[Any]) -> str:
        return "".join(self._one(str(operation), argument) for operation, argument in nodes)

    def _one(self, operation: str, argument: Any) -> str:
        if operation == "LITERAL":
            return chr(argument)
        if operation == "NOT_LITERAL":
            return self._chance.choice([one for one in ALPHABET if one != chr(argument)])
        if operation == "ANY":
            return self._chance.choice(string.ascii_lowercase)
        if operation == "IN":
            return self._chance.choice(_members(argument))
        if operation == "BRANCH":
            return self.write(self._chance.choice(argument[1]))
        if operation == "GROUPREF":
            return self._groups.get(argument, "")
        if operation.endswith("REPEAT"):
            return self._repeat(*argument)
        if operation == "SUBPATTERN":
            text = self.write(argument[3])
            self._groups[argument[0]] = text
            return text
        return self.write(argument) if operation == "ATOMIC_GROUP" else ""

    def _repeat(self, least: int, most: Any, inner: Sequence[Any]) -> str:
        limit = min(int(most), int(least) + MOST_REPEATS)
        return "".join(self.write(inner) for _ in range(self._chance.randint(int(least), limit)))


def _members(parts: Sequence[Any]) -> list[str]:
    """The characters of a set like `[a-f0-9_]`."""
    negated = bool(parts) and str(parts[0][0]) == "NEGATE"
    tests = [_test(str(operation), argument) for operation, argument in parts if str(operation) != "NEGATE"]
    inside = [one for one in ALPHABET if any(test(one) for test in tests) != negated]
    if inside or negated:
        return inside or ["~"]
    (operation, argument), *_ = parts
    return [chr(argument if str(operation) == "LITERAL" else argument[0])]


def _test(operation: str, argument: Any) -> Callable[[str], bool]:
    if operation == "LITERAL":
        return lambda one: ord(one) == argument
    if operation == "RANGE":
        return lambda one: bool(argument[0] <= ord(one) <= argument[1])
    return _CATEGORIES.get(str(argument), lambda _: False)
