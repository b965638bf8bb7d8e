"""What the lean clients of the anthropic and openai SDKs share.

Requests come from pydantic-ai as plain JSON values, so the SDKs' walks over them change nothing. Answers are read by
the message type's own validator; what it does not know, as a new kind of block, is left to the SDK's lenient reading.
Connections, time-outs and error classes are the SDK's own. The walks are half of an SDK's CPU (`docs/performance.md`).
"""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from bessemer.actors.backends._context import current_call

_OPTIONS = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json", "timeout": "timeout"}
"""Names in a request and in the SDK's options. A plain request has no `extra_body`, but may name it as None."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

M = TypeVar("M", bound=BaseModel)


class Client(Protocol):
    """The part of an SDK's client that posts."""

    @property
    def base_url(self) -> httpx2.URL: ...

    async def post(self, path: str, *, cast_to: Any, content: bytes, options: Any) -> Any: ...


def is_plain(given: dict[str, Any]) -> bool:
    """Whether a request wants its answer in one piece, and nothing put into its body by hand."""
    return given.get("stream") is not True and not given.get("extra_body")


def split(given: dict[str, Any], omitted: tuple[type, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request's body, and the SDK's options of one request. Values of the types `omitted` are left out."""
    present = {name: value for name, value in given.items() if not isinstance(value, omitted)}
    options = {_OPTIONS[name]: value for name, value in present.items() if name in _OPTIONS and value is not None}
    body = {name: value for name, value in present.items() if name not in _OPTIONS}
    return body, options


async def post(client: Client, path: str, body: dict[str, Any], options: dict[str, Any], kind: type[M]) -> M | str:
    """The answer to a request as `kind`, or its text where it is no JSON object: the SDKs' own way to say so.

    Raises JSONDecodeError where what is called JSON was cut off, as the SDKs do.
    """
    content = _COMPACT.encode(body).encode()
    # A whole address spares the SDK merging two, and the attempt's id a random key.
    address = f"{str(client.base_url).rstrip('/')}{path}"
    if attempt := current_call.get().attempt:
        options["idempotency_key"] = attempt
    answer: httpx2.Response = await client.post(address, cast_to=httpx2.Response, content=content, options=options)
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError:
        pass
    try:
        value = json.loads(answer.content)
    except ValueError:
        if "json" in answer.headers.get("content-type", ""):
            raise
        return answer.text
    lenient: Any = kind
    return lenient.construct(**value) if isinstance(value, dict) else answer.text
