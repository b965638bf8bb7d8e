"""What the simulated models say: by the scenario, by the request's own schema, or a short text."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from bessemer.actors.backends import CallContext
from bessemer.actors.backends import scenario as scenarios
from bessemer.actors.backends.base import ModelRequest, ToolSpec
from bessemer.cluster.canonical import canonical_json
from bessemer.interfaces.simulator._asked import Asked, tokens_of
from bessemer.interfaces.simulator._cache import Cached
from bessemer.interfaces.simulator._dials import FaultKind
from bessemer.interfaces.simulator._schema_values import WORDS, draw_value

Finish = Literal["stop", "tool_calls", "length", "refusal", "content_filter"]
REASONING_TOKENS = {"none": 0, "minimal": 16, "low": 64, "medium": 256, "high": 1024, "xhigh": 2048, "max": 4096}
"""What thinking costs at each effort; never more than half of the output limit."""
REFUSAL = "I cannot help with that."


class Call(NamedTuple):
    """A call of one of the request's tools."""

    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def json(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))


class Usage(NamedTuple):
    """Tokens. `input` includes what the cache read and wrote, `output` includes `reasoning`."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, before it is put into a vendor's words."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    thinking: str = ""
    finish: Finish = "stop"
    usage: Usage = NO_USAGE


def scripted(asked: Asked, scenario: scenarios.Scenario, count: int) -> scenarios.Answer | None:
    """The scenario's answer to a request that came for the `count`th time."""
    said = {role: "\n".join(s.text for s in asked.segments if s.role == role) for role in ("system", "user")}
    request = ModelRequest(
        backend=f"{asked.vendor}/{asked.model}",
        instructions=said["system"],
        prompt=said["user"],
        history=_turns(asked),
        tools=tuple(ToolSpec(name=tool.name, description="", parameters=tool.parameters) for tool in asked.tools),
        seed=asked.seed,
    )
    caller = asked.caller
    # Without a key from the client, the simulator's own count tells the attempts of one request apart.
    attempt = caller.attempt if "|" in caller.attempt else f"|||{count}"
    return scenario.answer(request, CallContext(attempt, caller.persona, caller.purpose))


def _turns(asked: Asked) -> tuple[dict[str, Any], ...]:
    turns: list[dict[str, Any]] = []
    before = ""
    for segment in asked.segments:
        if segment.role == "assistant" and before != "assistant":
            turns.append({"kind": "response", "parts": []})
        if segment.role == "assistant":
            turns[-1]["parts"].append({"content": segment.text})
        before = segment.role
    return tuple(turns)


def compose(asked: Asked, told: scenarios.Answer | None, chance: random.Random) -> Answer:
    """The answer without its usage. Raises Unsatisfiable for a schema that allows nothing."""
    if told is not None:
        calls = tuple(Call(_call_id(asked, chance), call.name, call.arguments) for call in told.tool_calls)
        text = told.text or ""
        if "data" in told.model_fields_set:
            text = canonical_json(told.data).decode()
        return Answer(text, calls, _thinking(asked), "tool_calls" if calls else "stop")
    if asked.must_call is not None and asked.tools:
        tool = next((tool for tool in asked.tools if tool.name == asked.must_call), asked.tools[0])
        drawn = draw_value({"type": "object", **tool.parameters}, chance)
        call = Call(_call_id(asked, chance), tool.name, drawn)
        return Answer("", (call,), _thinking(asked), "tool_calls")
    if asked.schema is not None:
        value = draw_value(asked.schema, chance) if asked.schema else {"answer": _sentence(chance)}
        return Answer(json.dumps(value, ensure_ascii=False), (), _thinking(asked))
    return Answer(f"Simulated by {asked.model}: {_sentence(chance)}.", (), _thinking(asked))


def _sentence(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(6, 14)))


def _call_id(asked: Asked, chance: random.Random) -> str:
    prefix = {"anthropic": "toolu_", "openai": "call_", "google": "", "xai": "call_"}[asked.vendor]
    return f"{prefix}{chance.getrandbits(96):024x}"


def _thinking(asked: Asked) -> str:
    return "Weighing the question." if reasoning_of(asked) else ""


def reasoning_of(asked: Asked) -> int:
    """Tokens of thinking that a request's effort asks for."""
    tokens = REASONING_TOKENS.get(asked.effort, REASONING_TOKENS["medium"]) if asked.effort else 0
    return tokens if asked.max_output is None else min(tokens, asked.max_output // 2)


def spoil(answer: Answer, kind: FaultKind | None) -> Answer:
    """The answer with one of the faults that an answer can have."""
    if kind == "refusal":
        return replace(answer, text=REFUSAL, calls=(), finish="refusal")
    if kind == "content_filter":
        return replace(answer, text="", calls=(), finish="content_filter")
    if kind == "empty":
        return replace(answer, text="", calls=(), thinking="", finish="stop")
    if kind == "malformed":
        kept = answer.text[: max(1, len(answer.text) * 2 // 3)]
        return replace(answer, text=f"{kept} <<not JSON", calls=(), finish="stop")
    if kind == "truncated":
        return replace(answer, text=answer.text[: len(answer.text) // 2], calls=(), finish="length")
    return answer


def measured(asked: Asked, answer: Answer, cached: Cached, told: scenarios.Answer | None) -> Answer:
    """The answer cut at the output limit, with its usage."""
    reasoning = reasoning_of(asked) if answer.thinking else 0
    said = sum(len(call.name) + len(call.json.encode()) for call in answer.calls)
    output = reasoning + max(1, tokens_of(len(answer.text.encode()) + said))
    limit = asked.max_output
    if limit is not None and output > limit:
        room = max(0, limit - reasoning) * 4
        text = answer.text.encode()[:room].decode(errors="ignore")
        answer = replace(answer, text=text, calls=(), finish="length")
        output = limit
    elif answer.finish == "length" and limit is not None:
        output = limit
    if told is not None and told.usage is not None:
        return replace(answer, usage=_told_usage(told.usage))
    if answer.finish == "content_filter" and asked.vendor == "google":
        # A blocked prompt has no candidates, and so no tokens of theirs.
        output = reasoning = 0
    usage = Usage(prompt_tokens(asked), cached.read, cached.write_5m, cached.write_1h, output, reasoning)
    return replace(answer, usage=usage)


def prompt_tokens(asked: Asked) -> int:
    """Tokens of the whole prompt: system, tools and messages."""
    return tokens_of(sum(len(segment.text.encode()) for segment in asked.segments))


def _told_usage(told: Any) -> Usage:
    return Usage(told.input, told.cache_read, told.cache_write, told.cache_write_1h, told.output, told.reasoning)
