"""Text of models and programs as one line that is safe to show."""

from __future__ import annotations


def plain_line(text: object) -> str:
    """`text` on one line, without what a terminal would take for an order."""
    return "".join(sign for sign in " ".join(str(text).split()) if sign.isprintable())


def one_line(text: object, limit: int = 400) -> str:
    """The same, cut at `limit` characters."""
    line = plain_line(text)
    return line if len(line) <= limit else line[: limit - 1] + "…"
