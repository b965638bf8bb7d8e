"""A request as the simulator sees it, whichever vendor's format it came in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Vendor = Literal["anthropic", "openai", "google", "xai"]
VENDORS: tuple[Vendor, ...] = ("anthropic", "openai", "google", "xai")
CacheLife = Literal["", "5m", "1h"]

BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1000
"""What one image or document counts as, whatever its size."""

ATTEMPT_HEADER = "x-bessemer-attempt"
PERSONA_HEADER = "x-bessemer-persona"
PURPOSE_HEADER = "x-bessemer-purpose"


class Tool(NamedTuple):
    """A tool the request declares."""

    name: str
    parameters: dict[str, Any]


class Segment(NamedTuple):
    """A piece of the prompt, in the order in which a prefix cache sees it."""

    role: Literal["tools", "system", "user", "assistant"]
    text: str
    cache: CacheLife = ""
    """How long the prompt up to here shall be cached; only Anthropic's requests say so."""


class Caller(NamedTuple):
    """What headers or metadata tell of who is asking."""

    attempt: str = ""
    persona: str = ""
    purpose: str = ""


NOBODY = Caller()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to one model."""

    vendor: Vendor
    endpoint: str
    model: str
    segments: tuple[Segment, ...]
    digest: bytes
    """Hash of the request as it was sent; answers and faults are drawn from it."""
    schema: dict[str, Any] | None = None
    """JSON schema of the answer; `{}` where any JSON will do."""
    tools: tuple[Tool, ...] = ()
    must_call: str | None = None
    """A tool the request insists on; the empty string where any will do."""
    max_output: int | None = None
    effort: str = ""
    """Empty where no thinking is asked for."""
    seed: int | None = None
    stream: bool = False
    caller: Caller = NOBODY
    batch: str = ""
    """Id of the batch that carries the request."""


def digest_of(*parts: bytes) -> bytes:
    """A short hash of a request."""
    mixed = hashlib.blake2b(digest_size=16)
    for part in parts:
        mixed.update(part)
    return mixed.digest()


def tokens_of(byte_count: int) -> int:
    """Tokens in so many bytes of UTF-8: a quarter, rounded up."""
    return -(-byte_count // BYTES_PER_TOKEN)


def picture(data: str | bytes) -> str:
    """Text that stands for an image or document in the prompt: as long as its tokens, and its own for each content."""
    raw = data.encode() if isinstance(data, str) else data
    mark = hashlib.blake2b(raw, digest_size=16).hexdigest()
    length = IMAGE_TOKENS * BYTES_PER_TOKEN
    return (mark * (length // len(mark) + 1))[:length]


def caller_of(headers: Mapping[str, str], attempt: str = "") -> Caller:
    """Who asks, by the headers `x-bessemer-attempt`, `x-bessemer-persona` and `x-bessemer-purpose`."""
    return Caller(
        headers.get(ATTEMPT_HEADER, "") or attempt,
        headers.get(PERSONA_HEADER, ""),
        headers.get(PURPOSE_HEADER, ""),
    )
