"""What is kept of a stream: its beginning and its end."""

from __future__ import annotations

import asyncio

CHUNK = 65536


class Tail:
    """The beginning and the end of a stream, with what was left out in between counted."""

    def __init__(self, limit: int, flood_factor: int) -> None:
        self._half = limit // 2
        self._most = limit * flood_factor
        self._head = bytearray()
        self._end = bytearray()
        self.seen = 0
        self.flooded = asyncio.Event()

    def add(self, data: bytes) -> None:
        self.seen += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._end += data[max(room, 0) :]
        if len(self._end) > self._half:
            del self._end[: -self._half]
        if self.seen > self._most:
            self.flooded.set()

    def text(self) -> str:
        left_out = self.seen - len(self._head) - len(self._end)
        gap = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out > 0 else b""
        return (bytes(self._head) + gap + bytes(self._end)).decode(errors="replace")


async def drain(stream: asyncio.StreamReader | None, into: Tail) -> None:
    while stream is not None and (data := await stream.read(CHUNK)):
        into.add(data)
