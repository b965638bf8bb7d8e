"""The vendors' prompt caches: what of a prompt is read, what is written, and for how long it stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from bessemer.interfaces.simulator._asked import BYTES_PER_TOKEN, Asked, CacheLife, tokens_of

LEAST_TOKENS = 1024
"""Shorter prefixes are not cached."""
STEP_TOKENS = 128
"""Automatic caches match in steps of this size."""
LIFE: dict[CacheLife, float] = {"": 300.0, "5m": 300.0, "1h": 3600.0}
"""Seconds a prefix stays after it was last used."""
MOST_ENTRIES = 200_000


class Cached(NamedTuple):
    """Tokens of a prompt by what the cache did with them; the rest is plain input."""

    read: int = 0
    write_5m: int = 0
    write_1h: int = 0


class _Entry(NamedTuple):
    visible: float
    expires: float
    life: CacheLife


class _Mark(NamedTuple):
    """A place in the prompt where a prefix may end."""

    key: bytes
    tokens: int
    life: CacheLife
    asked: bool
    """Whether the prefix up to here shall be written."""


class PromptCache:
    """All prefixes that are cached now. What a request writes can be read once its answer has begun."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}

    def pass_through(self, asked: Asked, now: float, answered: float) -> Cached:
        """Read and write for one request that comes at `now` and is answered at `answered`."""
        explicit = asked.vendor == "anthropic"
        marks = list(_marked(asked) if explicit else _stepped(asked))
        wanted = [mark for mark in marks if mark.asked and mark.tokens >= LEAST_TOKENS]
        if not wanted:
            return Cached()
        reach = wanted[-1].tokens
        hit = next((mark for mark in reversed(marks) if mark.tokens <= reach and self._holds(mark, now)), None)
        read = hit.tokens if hit is not None else 0
        if hit is not None:
            self._refresh(hit, now)
        new = [mark for mark in wanted if mark.tokens > read]
        for mark in new:
            self._write(mark, now, answered)
        return _told(new, read) if explicit else Cached(read)

    def _holds(self, mark: _Mark, now: float) -> bool:
        entry = self._entries.get(mark.key)
        return entry is not None and entry.visible <= now < entry.expires

    def _refresh(self, mark: _Mark, now: float) -> None:
        entry = self._entries[mark.key]
        self._entries[mark.key] = entry._replace(expires=now + LIFE[entry.life])

    def _write(self, mark: _Mark, now: float, answered: float) -> None:
        old = self._entries.get(mark.key)
        visible = min(old.visible, answered) if old is not None and old.expires > now else answered
        self._entries[mark.key] = _Entry(visible, answered + LIFE[mark.life], mark.life)
        if len(self._entries) > MOST_ENTRIES:
            self._entries = {key: entry for key, entry in self._entries.items() if entry.expires > now}


def _told(new: list[_Mark], read: int) -> Cached:
    written: dict[CacheLife, int] = {"5m": 0, "1h": 0}
    start = read
    for mark in new:
        written[mark.life] += mark.tokens - start
        start = mark.tokens
    return Cached(read, written["5m"], written["1h"])


def _marked(asked: Asked) -> Iterator[_Mark]:
    """The ends of Anthropic's blocks, of which some carry a cache_control."""
    mixed = _start(asked)
    length = 0
    for segment in asked.segments:
        text = segment.text.encode()
        mixed.update(segment.role.encode() + b"\0" + text)
        length += len(text)
        yield _Mark(mixed.digest(), tokens_of(length), segment.cache or "5m", bool(segment.cache))


def _stepped(asked: Asked) -> Iterator[_Mark]:
    """Every 128 tokens of the prompt from 1,024 on, as the automatic caches see it."""
    text = "".join(segment.text for segment in asked.segments).encode()
    step = STEP_TOKENS * BYTES_PER_TOKEN
    first = LEAST_TOKENS * BYTES_PER_TOKEN
    if len(text) < first:
        return
    mixed = _start(asked)
    mixed.update(text[: first - step])
    for end in range(first, len(text) + 1, step):
        mixed.update(text[end - step : end])
        yield _Mark(mixed.digest(), end // BYTES_PER_TOKEN, "", True)


def _start(asked: Asked) -> hashlib.blake2b:
    return hashlib.blake2b(f"{asked.vendor}/{asked.model}\0".encode(), digest_size=16)
