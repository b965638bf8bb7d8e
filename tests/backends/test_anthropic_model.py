"""Requests made from the first of their shape are those that pydantic-ai would make each by itself."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from pydantic_ai.messages import ModelRequest as Asked
from pydantic_ai.messages import UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from bessemer.actors.backends._anthropic import _DIALECT
from bessemer.actors.backends._anthropic_model import KEPT, TieredAnthropicModel
from bessemer.actors.backends._context import CallContext, current_call
from bessemer.actors.backends._lean_anthropic import LeanAsyncAnthropic
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Attachment, ModelRequest, ToolSpec

NAME = "anthropic/claude-opus-4-6"
SCORE = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
VOTE = {"type": "object", "properties": {"vote": {"type": "string"}}, "required": ["vote"]}
PIXEL = Attachment.of(b"\x89PNG\r\n\x1a\n", "image/png")
TOOL = ToolSpec(name="read", description="reads", parameters={"type": "object", "properties": {}})
SAID = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "before"}]}
ANSWERED = {"kind": "response", "parts": [{"part_kind": "text", "content": "and then"}]}

ALIKE: list[dict[str, Any]] = [
    {},
    {"instructions": "Judge."},
    {"instructions": "Judge.", "output_schema": SCORE},
    {"instructions": "Be kind.", "output_schema": SCORE},
    {"instructions": "Judge.", "output_schema": VOTE},
    {"shared_prefix": "all read this", "instructions": "Judge."},
    {"instructions": "Judge.", "max_output_tokens": 100},
    {"instructions": "Judge.", "effort": "high", "max_output_tokens": 30_000},
    {"instructions": "Judge.", "timeout": 7.0},
]
"""Shapes that differ from each other in more than the text."""
OTHERS: list[dict[str, Any]] = [
    {"attachments": (PIXEL,)},
    {"tools": (TOOL,), "history": (SAID, ANSWERED)},
    {"history": (SAID, ANSWERED)},
    {"history": (SAID, ANSWERED), "instructions": "Judge."},
]
TEXTS = ("one", "two", "<system>three</system>", "one")


class Wire:
    """A backend whose requests are kept instead of sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, dict[str, str]]] = []
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))
        client = LeanAsyncAnthropic(
            api_key="k", base_url="http://127.0.0.1:9", max_retries=0, http_client=http, open_telemetry=False
        )
        self.model = TieredAnthropicModel("claude-opus-4-6", provider=AnthropicProvider(anthropic_client=client))
        self.backend = PydanticAIBackend(NAME, self.model, close=client.close, dialect=_DIALECT)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        left_out = ("x-stainless", "content", "idempotency-key")
        own = {name: value for name, value in request.headers.items() if not name.startswith(left_out)}
        self.sent.append((json.loads(request.content), own))
        usage = {"input_tokens": 3, "output_tokens": 2, "service_tier": "standard"}
        said = {"role": "assistant", "content": [{"type": "text", "text": '{"score": 1, "vote": "a"}'}]}
        ended = {"stop_reason": "end_turn", "stop_sequence": None}
        answer = {"id": "m", "type": "message", "model": "claude-opus-4-6", **said, **ended, "usage": usage}
        return httpx2.Response(200, json=answer)

    async def ask(self, text: str, attempt: str, **asked: Any) -> tuple[Any, dict[str, str]]:
        current_call.set(CallContext(attempt))
        reply = await self.backend.request(ModelRequest(backend=NAME, prompt=text, **asked))
        assert reply.usage.tier == "standard"
        return self.sent[-1]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for every request that pydantic-ai prepares."""
    fresh, counted = AnthropicModel._prepare_messages_create, []

    async def prepare(self: Any, *given: Any, **options: Any) -> Any:
        counted.append("")
        return await fresh(self, *given, **options)

    monkeypatch.setattr(AnthropicModel, "_prepare_messages_create", prepare)
    return counted


async def test_what_is_sent_is_what_pydantic_ai_alone_would_send() -> None:
    warm = Wire()
    for text in TEXTS:
        for number, asked in enumerate([*ALIKE, *OTHERS]):
            attempt = f"r|s|{number}|{len(warm.sent)}"
            body, headers = await warm.ask(text, attempt, **asked)
            assert (body, headers) == await Wire().ask(text, attempt, **asked)
            assert headers["x-bessemer-attempt"] == attempt
            assert text in json.dumps(body["messages"])


async def test_each_shape_is_prepared_once(prepared: list[str]) -> None:
    warm = Wire()
    for text in ("one", "two", "three"):
        for asked in ALIKE:
            await warm.ask(text, "a", **asked)
    assert len(prepared) == len(ALIKE)


async def test_what_is_more_than_text_is_prepared_each_time(prepared: list[str]) -> None:
    warm = Wire()
    for _ in range(2):
        for asked in OTHERS:
            await warm.ask("one", "a", **asked)
    assert len(prepared) == 2 * len(OTHERS)


async def test_requests_with_other_settings_are_not_of_one_shape() -> None:
    model, parameters = Wire().model, ModelRequestParameters()
    asked: list[Any] = [Asked(parts=[UserPromptPart("one")])]
    for limit in (10, 20, 10):
        made = await model._prepare_messages_create(asked, {"max_tokens": limit}, parameters)
        assert made.max_tokens == limit


async def test_what_is_asked_beside_the_messages_is_never_left_out() -> None:
    model, parameters = Wire().model, ModelRequestParameters()
    asked: list[Any] = [Asked(parts=[UserPromptPart("one")])]
    for compaction in (None, {}, None):
        made = await model._prepare_messages_create(asked, {}, parameters, compaction=compaction)
        assert made.compaction == compaction


async def test_what_is_kept_has_no_texts() -> None:
    warm = Wire()
    await warm.ask("the question", "a", shared_prefix="all read this")
    (kept,) = warm.model._kept.values()
    assert "read" not in repr(kept.made.anthropic_messages)
    assert "question" not in repr(kept.made.anthropic_messages)


async def test_shapes_are_not_kept_without_end() -> None:
    warm = Wire()
    for number in range(KEPT + 10):
        await warm.ask("one", "a", instructions=f"Be number {number}.")
    assert 0 < len(warm.model._kept) <= KEPT
