"""What a request may not hold, because nothing in it bounds what it would cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bessemer.actors.gateway._dialects import Unbounded

IMAGE_KEYS = frozenset({"image", "input_image", "image_url"})
FILE_KEYS = frozenset({"document", "input_file", "file", "container_upload", "input_audio", "video_url"})
_DEEPEST = 64


def count_images(content: Any) -> int:
    """How many pictures lie in `content`. Raises Unbounded for files, and for what the vendor would have to fetch."""
    images = 0
    for item in _objects(content):
        kind = item.get("type")
        if kind in FILE_KEYS and not _is_text(item):
            raise Unbounded(f"a {kind} cannot be bounded in tokens; give its text")
        inline = item.get("inlineData") or item.get("inline_data")
        if isinstance(inline, dict) and not str(inline.get("mimeType") or inline.get("mime_type")).startswith("image/"):
            raise Unbounded("inline data other than an image cannot be bounded in tokens; give its text")
        if item.get("fileData") or item.get("file_data") or item.get("file_id"):
            raise Unbounded("a stored file cannot be bounded in tokens; give its content")
        if kind in IMAGE_KEYS:
            _check_inline(item)
        images += kind in IMAGE_KEYS or inline is not None
    return images


def refuse_keys(body: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Raises Unbounded for each of `keys` that the request uses."""
    for key in keys:
        if body.get(key):
            raise Unbounded(f"`{key}` is refused here: it can cost what the request does not tell")


def refuse_tools(tools: Any, allowed: tuple[str, ...]) -> None:
    """Raises Unbounded for a tool that the vendor runs and bills itself; `allowed` are types run by the caller."""
    for tool in tools if isinstance(tools, list) else []:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is not None and not str(kind).startswith(allowed):
            raise Unbounded(f"the tool {kind!r} is run and billed by the vendor, so it is refused; leave it out")
        if isinstance(tool, dict) and kind == "namespace":
            refuse_tools(tool.get("tools"), allowed)


def _check_inline(item: dict[str, Any]) -> None:
    source = item.get("source") or item.get("image_url")
    address = source.get("url", "") if isinstance(source, dict) else source
    if isinstance(address, str) and address and not address.startswith("data:"):
        raise Unbounded("an image by address cannot be bounded; give it inline")
    if isinstance(source, dict) and source.get("type") in ("url", "file"):
        raise Unbounded("an image by address cannot be bounded; give it inline")


def _is_text(item: dict[str, Any]) -> bool:
    source = item.get("source")
    return isinstance(source, dict) and source.get("type") in ("text", "content")


def _objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > _DEEPEST:
        raise Unbounded(f"the request is nested deeper than {_DEEPEST} levels")
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner, depth + 1)
