"""One canonical form of JSON, for hashes that must be equal on every machine and in every later version."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces. Raises ValueError on NaN and infinities, which have no JSON."""
    return _CANONICAL.encode(value).encode()


def content_hash(value: Any) -> str:
    """SHA-256 in hex of `bytes`, of the UTF-8 of a `str`, or of the canonical JSON of anything else."""
    if isinstance(value, str):
        value = value.encode()
    data = value if isinstance(value, bytes) else canonical_json(value)
    return hashlib.sha256(data).hexdigest()
