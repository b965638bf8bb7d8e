"""Agents speak text: how a request is put into words, and how an answer is taken out of them."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from bessemer.actors.backends._schema import schema_error
from bessemer.actors.backends.base import ModelRequest

_INVISIBLE = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
_INVISIBLE |= {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*$")


class NotOneBlock(Exception):
    """The text does not hold exactly one fenced JSON block, or the block does not fit."""


def prompt_of(request: ModelRequest) -> str:
    """The request as one text: what is asked, and the form of the answer."""
    said = [request.instructions, request.shared_prefix, *map(_said, request.history), request.prompt]
    if request.output_schema is not None:
        schema = json.dumps(request.output_schema, indent=1, ensure_ascii=False)
        said.append(
            "Answer with exactly one fenced block and no other: a line ```json, then one JSON value that satisfies the "
            f"JSON schema below, then a line ```. Words outside the block are not read.\n\nJSON schema:\n\n{schema}"
        )
    return "\n\n".join(text for text in said if text) + "\n"


def block_of(text: str, schema: dict[str, Any]) -> Any:
    """The JSON value of the one fenced block in `text`, which must satisfy `schema`. Raises NotOneBlock.

    Look-alike and invisible characters are folded first, so that no block can hide from the count.
    """
    blocks = _blocks(visible(text))
    if len(blocks) != 1:
        raise NotOneBlock(f"it holds {len(blocks)} fenced blocks where exactly one was asked for")
    try:
        value = json.loads(blocks[0])
    except (ValueError, RecursionError) as error:
        raise NotOneBlock(f"its fenced block is not JSON: {error}") from None
    if wrong := schema_error(value, schema):
        raise NotOneBlock(f"its fenced block does not fit the schema {wrong}")
    return value


def visible(text: str) -> str:
    """`text` in NFKC without characters of no width and format characters."""
    folded = unicodedata.normalize("NFKC", text)
    return "".join(
        one for one in folded if one in "\n\r\t" or (ord(one) not in _INVISIBLE and unicodedata.category(one) != "Cf")
    )


def _blocks(text: str) -> list[str]:
    """What stands between fences. A fence that is never closed counts as a block, so that it is not overlooked."""
    blocks: list[list[str]] = []
    open_with = ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        found = _FENCE.match(line)
        if open_with:
            if found and not found[2] and found[1].startswith(open_with):
                open_with = ""
            else:
                blocks[-1].append(line)
        elif found:
            open_with = found[1]
            blocks.append([])
    if open_with:
        blocks.append([])
    return ["\n".join(block) for block in blocks]


def _said(message: dict[str, Any]) -> str:
    """One message of a conversation, with who said it."""
    parts = message.get("parts") or ()
    texts = [one["content"] for one in parts if isinstance(one, dict) and isinstance(one.get("content"), str)]
    who = "You answered" if message.get("kind") == "response" else "You were asked"
    return f"{who}:\n\n" + "\n\n".join(texts) if texts else ""
