"""Whether a quotation stands in the deliverable, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bessemer.actors.judging import normal
from bessemer.actors.probes.base import ProbeResult

MIN_QUOTE = 4
"""Characters, in normal form, below which a quotation proves nothing: it is then none."""

_GAP = re.compile(r"\s*(?:\.\.\.|\[\.\.\.\]|\[…\]|…)\s*")
_WRAPPERS = "`\"'"


class Found(NamedTuple):
    """Where a quotation stands. `known` is None where nothing was offered."""

    known: bool | None
    file: str = ""
    line: int = 0


class EvidenceIndex:
    """Texts that may be quoted, in normal form: NFKC, no invisible characters, white space as single spaces."""

    def __init__(self, files: Mapping[str, str], probes: Iterable[ProbeResult] = ()) -> None:
        self._raw = dict(files)
        self._files: dict[str, str] = {}
        self._words = [normal(words) for probe in probes for words in _words_of(probe)]

    def find(self, quote: str, file: str = "") -> Found:
        """Look a quotation up, in `file` first. An ellipsis stands for left-out words of one file."""
        parts = _parts(quote)
        if not parts:
            return Found(None)
        order = sorted(self._raw, key=lambda name: (name != file, name))
        # A quotation that stands word for word is found without bringing every file into normal form.
        exact = next((name for name in order if quote in self._raw[name]), None)
        for name in [exact] if exact is not None else order:
            if _in_order(parts, self._text(name)):
                return Found(True, name, _line_of(self._raw[name], parts[0]))
        return Found(any(_in_order(parts, words) for words in self._words))

    def _text(self, name: str) -> str:
        if name not in self._files:
            self._files[name] = normal(self._raw[name])
        return self._files[name]


def _parts(quote: str) -> list[str]:
    whole = normal(quote).strip(_WRAPPERS).strip()
    parts = [part for part in _GAP.split(whole) if len(part.replace(" ", "")) >= MIN_QUOTE]
    return parts if len(whole.replace(" ", "")) >= MIN_QUOTE else []


def _in_order(parts: list[str], text: str) -> bool:
    at = 0
    for part in parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def _line_of(raw: str, part: str) -> int:
    """The 1-based line on which `part` begins; 0 where line breaks make that unclear."""
    head = part[:40]
    for number, line in enumerate(raw.splitlines(), start=1):
        clean = normal(line)
        if clean and (head in clean or (len(clean) >= MIN_QUOTE and head.startswith(clean))):
            return number
    return 0


def _words_of(probe: ProbeResult) -> list[str]:
    found = [word for finding in probe.findings for word in (finding.message, finding.detail)]
    return [probe.summary, probe.evidence, *found]
