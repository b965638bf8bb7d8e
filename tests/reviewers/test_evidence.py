"""Quotations: found in whatever clothes, and not found when they are not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.reviewers import EvidenceIndex

TEXT = 'def add(a, b):\n    """Add “two” numbers – fast."""\n    return a - b\n\n\ndef ﬁnd(x):\n    return x\n'
INDEX = EvidenceIndex(
    {"a.py": TEXT, "b.md": "# Title\n\nLong sen\u200btence\nover two lines.\n"},
    [ProbeResult(probe="pytest", status="failed", summary="1 of 2 tests passed", evidence="E assert -1 == 5")],
)


@pytest.mark.parametrize(
    ("quote", "file", "line"),
    [
        ("return a - b", "a.py", 3),
        ("return  a\n\t- b", "a.py", 3),
        ('"""Add "two" numbers - fast."""', "a.py", 2),
        ("re\u200bturn a \u2212 b", "a.py", 3),
        ("def find(x)", "a.py", 6),
        ("\uff52\uff45turn a - b", "a.py", 3),
        ("Long sentence over two lines.", "b.md", 3),
        ("def add(a, b): … return a - b", "a.py", 1),
        ("`return a - b`", "a.py", 3),
        ("return a\ufe0f - b", "a.py", 3),
        ("return a - b\u202e", "a.py", 3),
    ],
)
def test_found_in_other_clothes(quote: str, file: str, line: int):
    assert INDEX.find(quote) == (True, file, line)


def test_a_probes_words_are_evidence():
    assert INDEX.find("assert -1 == 5") == (True, "", 0)


@pytest.mark.parametrize(
    "quote",
    ["return a + b", "return b … def add(a, b)", "return a * b", "Long sentence over three lines", "r\u0435turn a - b"],
)
def test_not_there(quote: str):
    assert INDEX.find(quote).known is False


@pytest.mark.parametrize("quote", ["", "  ", "\u200b\u200b\u200b\u200b\u200b", "x", "…", "``", "a b"])
def test_nothing_offered(quote: str):
    assert INDEX.find(quote).known is None


@given(st.text(min_size=1), st.data())
def test_every_long_enough_piece_of_a_line_is_found(text: str, data: st.DataObject):
    index = EvidenceIndex({"f": text})
    start = data.draw(st.integers(0, len(text)))
    piece = text[start : data.draw(st.integers(start, len(text)))]
    if any(char in piece for char in "….") or not piece.isascii() or not text.isascii():
        return
    assert index.find(piece).known is not False
