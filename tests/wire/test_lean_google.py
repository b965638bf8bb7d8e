"""The lean google client sends what the SDK would send, and leaves to it what is not plain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from google.genai import Client
from google.genai.types import HttpOptions, HttpResponse

from bessemer.actors.backends._lean_google import make_lean, plain_body

HI: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "hi"}, {"text": "there"}]}]
TALK = [*HI, {"role": "model", "parts": [{"text": "yes?"}]}, {"role": "user", "parts": [{"text": "\u00e9\U0001f600"}]}]
SYSTEM = {"role": "user", "parts": [{"text": "be short"}]}
SCHEMA = {"type": "object", "properties": {"a_b": {"type": "string"}}, "required": ["a_b"]}
PLAIN: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    (HI, {}),
    (HI, {"system_instruction": SYSTEM, "max_output_tokens": 16, "tools": None, "thinking_config": None}),
    (TALK, {"temperature": 0.5, "top_p": 0.25, "top_k": 3, "seed": 7}),
    (TALK, {"response_mime_type": "application/json", "response_json_schema": SCHEMA, "system_instruction": SYSTEM}),
    (HI, {"response_modalities": ["TEXT"], "http_options": {"headers": {"a": "b"}, "timeout": 1000}}),
]
PICTURE = [{"role": "user", "parts": [{"inline_data": {"data": b"x", "mime_type": "image/png"}}]}]
OTHER: list[tuple[Any, dict[str, Any]]] = [
    (PICTURE, {}),
    ("hi", {}),
    ([], {}),
    (HI, {"thinking_config": {"include_thoughts": True}}),
    (HI, {"tools": [{"function_declarations": [{"name": "look", "description": "look"}]}]}),
    (HI, {"cached_content": "cachedContents/1"}),
    (HI, {"system_instruction": "a text"}),
]
ANSWER = '{"candidates": [{"content": {"parts": [{"text": "hello"}], "role": "model"}, "finishReason": "STOP"}]}'


class Wire:
    """A client whose requests are kept, and answered in turn."""

    def __init__(self, *, lean: bool) -> None:
        self.client = Client(api_key="k", http_options=HttpOptions(base_url="http://127.0.0.1:1"))
        if lean:
            make_lean(self.client)
        self.sent: list[tuple[Any, ...]] = []
        self.answers: Iterator[str] = iter([ANSWER] * 9)
        models: Any = self.client.aio.models
        models._api_client.async_request = self._answer

    async def _answer(self, method: str, path: str, body: dict[str, Any], options: HttpOptions | None) -> HttpResponse:
        headers = options.headers if options else None
        # What begins with _ is taken out before it is sent.
        shown = {name: value for name, value in body.items() if not name.startswith("_")}
        self.sent.append((method, path, shown, headers, options.timeout if options else None))
        return HttpResponse(headers={"x": "y"}, body=next(self.answers))

    def ask(self, contents: Any, config: dict[str, Any], model: str = "gemini-3.1-pro-preview") -> Any:
        return asyncio.run(self.client.aio.models.generate_content(model=model, contents=contents, config=config))


@pytest.mark.parametrize(("contents", "config"), PLAIN)
def test_a_plain_request_is_what_the_sdk_sends(contents: Any, config: dict[str, Any]) -> None:
    assert plain_body(contents, config) is not None
    lean, sdk = Wire(lean=True), Wire(lean=False)
    answers = lean.ask(contents, config), sdk.ask(contents, config)
    assert lean.sent == sdk.sent
    assert answers[0].model_dump(exclude={"parsed"}) == answers[1].model_dump(exclude={"parsed"}) | {
        "automatic_function_calling_history": None
    }


@pytest.mark.parametrize(("contents", "config"), OTHER)
def test_any_other_request_is_left_to_the_sdk(contents: Any, config: dict[str, Any]) -> None:
    assert plain_body(contents, config) is None


@pytest.mark.parametrize("model", ["tunedModels/mine", "models/gemini-3.1-pro-preview"])
def test_a_model_with_a_path_is_the_sdks_to_name(model: str) -> None:
    lean, sdk = Wire(lean=True), Wire(lean=False)
    lean.ask(HI, {}, model)
    sdk.ask(HI, {}, model)
    assert lean.sent == sdk.sent


def test_an_answer_in_several_parts_is_put_together_as_by_the_sdk() -> None:
    first = ANSWER.replace('"STOP"', '"CONTINUATION", "continuationToken": "bW9yZQ=="')
    texts = []
    for wire in (Wire(lean=True), Wire(lean=False)):
        wire.answers = iter([first, ANSWER.replace("hello", " world")])
        texts.append(wire.ask(HI, {"max_output_tokens": 16}).text)
        assert len(wire.sent) == 2
    assert texts[0] == texts[1]
