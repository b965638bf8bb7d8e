"""When two requests ask the same although a run of their own made each: the key that recordings are filed under.

A run's prompts carry what no other run repeats: its id and folder, its random delimiter, how long the tests took. The
key leaves these out, and the backend, so that another run under another backend's name finds the same exchange.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from bessemer.cluster.canonical import content_hash

RUN_ID = r"\d{8}-\d{6}-[0-9a-f]{6}"
# Every branch begins with something rare, so that long prompts are passed through once and quickly.
_OWN = re.compile(
    rf"""(?P<folder>/runs/{RUN_ID})
    |/scratch/(?P<scratch>[\w.-]+?-\d+-\d+\b)
    |(?P<place>/tmp/[\w./-]+)
    |(?<!\w)(?=[0-9a-f])(?:
        (?P<run>{RUN_ID}\b)
        |(?P<mark>[0-9a-f]{{16}}(?:-\d+)?\b)
        |(?P<time>\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)
        |(?P<took>\d+(?:\.\d+)?[ ]?(?:ms|us|µs|s|sec|secs|seconds)\b)
        |(?P<address>0x[0-9a-f]{{4,16}}\b)
    )""",
    re.VERBOSE,
)
_FOLDER = re.compile(rf"/runs/{RUN_ID}")
_NOT_IN_PATHS = frozenset(" \t\r\n\"'`:,()<>\\")
_NAMES = frozenset(("folder", "run", "mark", "scratch", "place"))
"""Kinds that name something: what an answer says of the recorded one holds for its successor."""


class Alike(NamedTuple):
    """A request without what only its own run has."""

    content: dict[str, Any]
    names: tuple[str, ...]
    """What was taken out and names something, in the order it stands there."""

    @property
    def key(self) -> str:
        return content_hash(self.content)


def alike(canonical: Mapping[str, Any]) -> Alike:
    """The neutral form of a request's canonical content."""
    neutral = _Neutral(str(canonical.get("backend", "")))
    content = {key: neutral.of(value) for key, value in sorted(canonical.items()) if key != "backend"}
    return Alike(content, tuple(neutral.names))


def exact_key(canonical: Mapping[str, Any]) -> str:
    """Hash of what is asked, word for word, without the backend."""
    return content_hash({key: value for key, value in canonical.items() if key != "backend"})


def renamed(text: str, recorded: Alike, asked: Alike) -> str:
    """`text` of a recorded answer, with the names of the recorded run replaced by those of the run that asks."""
    pairs = {old: new for old, new in zip(recorded.names, asked.names, strict=False) if old != new}
    if not pairs:
        return text
    longest_first = sorted(pairs, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: pairs[found[0]], text)


class _Neutral:
    def __init__(self, backend: str) -> None:
        self.names: list[str] = []
        # Messages say which model answered; the recorded one and its replay have each its own name.
        name = re.escape(backend.removeprefix("replay/"))
        self._backends = re.compile(rf"\breplay/(?=[\w.-])(?:{name}(?![\w/.-]))?|\b{name}(?![\w/.-])") if name else None

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            if self._backends is not None:
                value = self._backends.sub(self._model, value)
            return self._without_own(value)
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in sorted(value.items())}
        return value

    @staticmethod
    def _model(found: re.Match[str]) -> str:
        return "" if found[0] == "replay/" else "(model)"

    def _without_own(self, text: str) -> str:
        kept, at = [], 0
        while (found := _OWN.search(text, at)) is not None:
            kind = found.lastgroup or ""
            start, end = found.span(kind)
            inside = _FOLDER.search(text, start, end) if kind == "place" else None
            if inside is not None:
                kind, end = "folder", inside.end()
            elif kind == "folder":
                while start > at and text[start - 1] not in _NOT_IN_PATHS:
                    start -= 1
            if kind in _NAMES:
                self.names.append(text[start:end])
            kept += [text[at:start], f"({kind})"]
            at = end
        return "".join([*kept, text[at:]])
