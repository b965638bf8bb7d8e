"""Exactly one fenced block, whatever was done to hide another."""

from __future__ import annotations

import pytest

from bessemer.actors.backends.agents._text import NotOneBlock, block_of, prompt_of, visible
from bessemer.actors.backends.base import ModelRequest

SCHEMA = {"type": "object", "required": ["v"], "properties": {"v": {"type": "string"}}}
GOOD = '```json\n{"v": "good"}\n```'
EVIL = '{"v": "evil"}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"Words before.\n\n{GOOD}\n\nWords after, and `code`.",
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("```json", "```"),
        GOOD.replace("```", "~~~"),
        GOOD.replace("```", "````"),
        f"  {GOOD}",
        GOOD.replace("```json", "``\u200b`json"),
        GOOD.replace("`", "\uff40"),
    ],
)
def test_one_block_is_read(text: str) -> None:
    assert block_of(text, SCHEMA) == {"v": "good"}


@pytest.mark.parametrize(
    "second",
    [
        f"```json\n{EVIL}\n```",
        f"```\n{EVIL}\n```",
        f"~~~json\n{EVIL}\n~~~",
        f"`\u200b``json\n{EVIL}\n```",
        f"\ufeff```json\n{EVIL}\n```",
        f"`\u00ad`\u2060`json\n{EVIL}\n`\u200d``",
        f"\uff40\uff40\uff40json\n{EVIL}\n\uff40\uff40\uff40",
        f"```js\ufe0fon\n{EVIL}\n```",
        "```json",
    ],
)
def test_a_second_block_is_seen_however_it_is_hidden(second: str) -> None:
    for text in (f"{GOOD}\n{second}", f"{second}\n{GOOD}"):
        with pytest.raises(NotOneBlock):
            block_of(text, SCHEMA)


@pytest.mark.parametrize(
    "text", ["", EVIL, "no block at all", "```json\n{\n```", "```json\n[]\n```", "``` json {} ```"]
)
def test_no_block_or_a_wrong_one_is_none(text: str) -> None:
    with pytest.raises(NotOneBlock):
        block_of(text, SCHEMA)


def test_a_fence_inside_a_string_is_no_fence() -> None:
    text = '```json\n{"v": "```json\\n{}\\n```"}\n```'
    assert block_of(text, SCHEMA)["v"].startswith("```json")


def test_visible_text_keeps_its_lines_and_letters() -> None:
    assert visible("a\tb\r\nü文\u202e\u200b\u3164") == "a\tb\r\nü文"


def test_a_request_becomes_one_text() -> None:
    history = (
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "first"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "answered"}]},
    )
    request = ModelRequest(backend="codex/m", instructions="be", history=history, prompt="now", output_schema=SCHEMA)
    said = prompt_of(request)
    assert said.index("be") < said.index("first") < said.index("answered") < said.index("now") < said.index('"v"')
