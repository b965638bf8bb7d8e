"""Reading the usage out of an answer while it passes through."""

from __future__ import annotations

import json
from typing import Any

from bessemer.actors.gateway._dialects import UsageReader

LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer, or of one event of it, that are kept to be read."""


class AnswerTap:
    """Feeds a reader with the bytes of an answer, in whatever pieces they come."""

    def __init__(self, reader: UsageReader, *, streamed: bool) -> None:
        self.reader = reader
        self._streamed = streamed
        self._kept = bytearray()
        self._data: list[bytes] = []
        self._broken = False

    def add(self, piece: bytes) -> None:
        if len(self._kept) + len(piece) > LARGEST_ANSWER:
            self._broken = True
        if self._broken:
            return
        self._kept += piece
        if self._streamed:
            self._lines()

    def end(self) -> None:
        """The answer is over: read what is left."""
        if self._broken:
            self.reader.usage = None
        elif self._streamed:
            self._kept += b"\n\n"
            self._lines()
        else:
            self._feed(bytes(self._kept))

    def _lines(self) -> None:
        *lines, rest = bytes(self._kept).replace(b"\r\n", b"\n").split(b"\n")
        self._kept = bytearray(rest)
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif not line and self._data:
                event, self._data = b"\n".join(self._data), []
                if event != b"[DONE]":
                    self._feed(event)

    def _feed(self, text: bytes) -> None:
        try:
            value: Any = json.loads(text)
        except ValueError:
            return
        for event in value if isinstance(value, list) else [value]:
            if isinstance(event, dict):
                self.reader.feed(event)
