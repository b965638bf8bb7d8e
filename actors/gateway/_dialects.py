"""What the gateway must know of a vendor's wire format: what is asked for, what was used, how a refusal is said.

| object | role | lifetime |
|---|---|---|
| `Dialect` | one wire format | the process |
| `Asked` | one request as it will be sent on, with what bounds its cost | the request |
| `UsageReader` | reads the usage out of an answer, whole or streamed | the answer |
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

from bessemer.actors.backends.base import Usage

RefusalKind = Literal["bad_request", "auth", "permission", "not_found", "budget", "overloaded", "unavailable"]
STATUS: dict[RefusalKind, int] = {
    "bad_request": 400,
    "auth": 401,
    "budget": 402,
    "permission": 403,
    "not_found": 404,
    "overloaded": 429,
    "unavailable": 503,
}


class Unbounded(Exception):
    """A request whose cost nothing bounds, or which is none of a model's; it is refused and not sent on."""


class Asked(NamedTuple):
    """A request, ready to be sent on."""

    backend: str
    """`vendor/model`."""
    body: dict[str, Any]
    max_output_tokens: int
    images: int
    """How many pictures the model is shown; their bytes say nothing about their tokens."""


class Upstream(NamedTuple):
    """Where a vendor is and how it is paid."""

    base_url: str
    """Empty means the vendor's own."""
    key: str


class UsageReader(Protocol):
    """Reads one answer. `usage` stays None until the vendor has said the final numbers."""

    usage: Usage | None
    model: str
    request_id: str

    def feed(self, event: dict[str, Any]) -> None:
        """One event of a stream, or the whole answer."""
        ...


class Dialect(Protocol):
    """One wire format."""

    vendor: str

    def matches(self, path: str) -> bool:
        """Whether `path` is a request to a model in this format."""
        ...

    def read(self, path: str, body: dict[str, Any], limit: int) -> Asked:
        """What is asked for, its output limited to `limit` tokens. Raises Unbounded."""
        ...

    def upstream(self, path: str, base_url: str) -> str:
        """The vendor's address for `path`."""
        ...

    def authorize(self, key: str) -> dict[str, str]:
        """The header that carries the key."""
        ...

    def reader(self) -> UsageReader: ...

    def refusal(self, kind: RefusalKind, message: str) -> dict[str, Any]:
        """An error as the vendor would say it."""
        ...


def number(value: Any) -> int:
    """A count from an answer; anything that is none counts as 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def limit_of(given: Any, limit: int) -> int:
    """The lower of what a request asks for and what it may have."""
    return min(given, limit) if isinstance(given, int) and not isinstance(given, bool) and given > 0 else limit


def part(value: Any, *keys: str) -> dict[str, Any]:
    """The object at `keys` inside `value`, or an empty one."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def model_of(vendor: str, model: Any) -> str:
    """`vendor/model`. Raises Unbounded where no model is named."""
    if not isinstance(model, str) or not model or "/" in model:
        raise Unbounded(f"the request names no model that can be priced ({model!r}); give a model's id as `model`")
    return f"{vendor}/{model}"
