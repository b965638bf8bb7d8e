"""One normal form of text, so that look-alikes, invisible characters and line breaks neither hide nor forge a match."""

from __future__ import annotations

import re
import unicodedata

_ALIKE = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u2033": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
    }
)  # fmt: skip
# Characters that show nothing although Unicode does not call them format characters.
_FILLERS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SPACE = re.compile(r"\s+")


def normal(text: str) -> str:
    """NFKC without invisible characters, typographic quotes and dashes made plain, white space made single spaces."""
    if text.isascii():
        return _SPACE.sub(" ", _CONTROL.sub("", _SPACE.sub(" ", text))).strip()
    text = _FILLERS.sub("", _SPACE.sub(" ", text))
    composed = unicodedata.normalize("NFKC", "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Cc"}))
    # NFKC can itself bring forth spaces and combining marks, so white space is made single once more.
    return _SPACE.sub(" ", composed.translate(_ALIKE)).strip()


def folded(text: str) -> str:
    """`normal`, without case and without stray combining marks: for recognising what a sentence claims."""
    return "".join(c for c in normal(text).casefold() if unicodedata.category(c) != "Mn")
