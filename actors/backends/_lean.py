"""What the lean clients of the anthropic and openai SDKs share."""

from __future__ import annotations

from typing import Any

_OPTIONS = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json", "timeout": "timeout"}


def is_streamed(given: dict[str, Any]) -> bool:
    """Whether a request wants its answer as a stream."""
    return given.get("stream") is True


def split(given: dict[str, Any], omitted: tuple[type, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request's body, and the SDK's options of one request. Values of the types `omitted` are left out."""
    present = {name: value for name, value in given.items() if not isinstance(value, omitted)}
    options = {_OPTIONS[name]: value for name, value in present.items() if name in _OPTIONS and value is not None}
    body = {name: value for name, value in present.items() if name not in _OPTIONS}
    return body, options
