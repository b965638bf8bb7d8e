"""What the lean clients of the anthropic and openai SDKs share.

Requests come from pydantic-ai as plain JSON values, so the SDKs' walks over them change nothing. Answers are read by
the message type's own validator; what it does not know, as a new kind of block, is left to the SDK's lenient reading.
The SDK itself makes a client's first request; later ones take its address and headers. Connections, time-outs and error
classes are the SDK's own. The walks are half of an SDK's CPU (`docs/performance.md`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from bessemer.actors.backends._context import current_call

_OPTIONS = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json", "timeout": "timeout"}
"""Names in a request and in the SDK's options. A plain request has no `extra_body`, but may name it as None."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

M = TypeVar("M", bound=BaseModel)


class Template(NamedTuple):
    """What the requests to one address have in common."""

    url: httpx2.URL
    headers: tuple[tuple[bytes, bytes], ...]


class Client(Protocol):
    """The part of an SDK's client that posts, and what a lean one adds."""

    _client: httpx2.AsyncClient

    @property
    def templates(self) -> dict[str, Template]: ...

    @property
    def timed_out(self) -> Callable[..., Exception]: ...

    @property
    def unreachable(self) -> Callable[..., Exception]: ...

    @property
    def base_url(self) -> httpx2.URL: ...

    async def post(self, path: str, *, cast_to: Any, content: bytes, options: Any) -> Any: ...

    def _make_status_error_from_response(self, response: httpx2.Response) -> Exception: ...


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
    template = client.templates.get(path)
    if template is None:
        answer = await _post_first(client, path, content, options)
    else:
        answer = await _post_alike(client, template, content, options)
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


async def _post_first(client: Client, path: str, content: bytes, options: dict[str, Any]) -> httpx2.Response:
    """Let the SDK make a request, and keep its address and headers for those after it."""
    # A whole address spares the SDK merging two, and the attempt's id a random key.
    address = f"{str(client.base_url).rstrip('/')}{path}"
    if attempt := current_call.get().attempt:
        options = {**options, "idempotency_key": attempt}
    answer: httpx2.Response = await client.post(address, cast_to=httpx2.Response, content=content, options=options)
    if not answer.history:
        own = {name.lower().encode() for name in (*options.get("headers", ()), "content-length", "idempotency-key")}
        common = (header for header in answer.request.headers.raw if header[0].lower() not in own)
        client.templates[path] = Template(answer.request.url, tuple(common))
    return answer


async def _post_alike(client: Client, template: Template, content: bytes, options: dict[str, Any]) -> httpx2.Response:
    """Send what the SDK would send, and raise what it would raise."""
    own = [(name.encode(), str(value).encode()) for name, value in options.get("headers", {}).items()]
    extensions = {"timeout": _timeout(options["timeout"])} if "timeout" in options else None
    request = httpx2.Request(
        "POST", template.url, headers=[*template.headers, *own], content=content, extensions=extensions
    )
    http = client._client
    try:
        answer = await http.send(request)
    except httpx2.TimeoutException as error:
        raise client.timed_out(request=request) from error
    except Exception as error:
        raise client.unreachable(request=request) from error
    if not answer.is_success:
        raise client._make_status_error_from_response(answer)
    return answer


@functools.lru_cache(maxsize=64)
def _timeout(timeout: Any) -> dict[str, float | None]:
    return httpx2.Timeout(timeout).as_dict()
