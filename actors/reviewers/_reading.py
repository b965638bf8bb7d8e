"""A model reads before it answers: its tool calls are answered from files in memory, and what they gave is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply, ToolSpec, Usage
from bessemer.actors.builders.base import Journal
from bessemer.actors.reviewers._tools import TOOLS, ReadOnlyFiles

MAX_TOOL_TURNS = 12
"""Model calls in one answer; the last one has no tools and must answer."""

Ask = Callable[[tuple[dict[str, Any], ...], tuple[ToolSpec, ...]], Awaitable[Reply | CallFailure]]
"""Asks the model with this conversation and these tools."""


class Reading:
    """The tool calls of one step. They are numbered, so that a replay finds each result by its number."""

    def __init__(self, files: ReadOnlyFiles, journal: Journal) -> None:
        self._files = files
        self._journal = journal
        self._results = 0

    async def until_answered(self, history: list[dict[str, Any]], ask: Ask) -> Reply | CallFailure:
        """Ask until the model answers. `history` grows by each of its replies and by what its tools gave.

        Raises what `ask` raises (BudgetExhausted).
        """
        for turn in range(MAX_TOOL_TURNS):
            tools = TOOLS if turn < MAX_TOOL_TURNS - 1 else ()
            reply = await ask(tuple(history), tools)
            if isinstance(reply, CallFailure):
                return reply
            if reply.message.get("kind") == "response":
                history.append(reply.message)
            calls = _tool_calls(reply)
            if reply.finish != "tool_calls" or not tools or not calls:
                return reply
            history.append({"kind": "request", "parts": [await self._result(call) for call in calls]})
        return CallFailure(kind="malformed_output", message="only tools were called")

    async def _result(self, call: dict[str, Any]) -> dict[str, Any]:
        name, number = str(call.get("tool_name", "")), self._results
        self._results += 1
        kept = await self._journal.observe(f"tool-{number}", self._files.use(name, call.get("args")))
        return {
            "part_kind": "tool-return",
            "tool_name": name,
            "content": kept,
            "tool_call_id": str(call.get("tool_call_id", "")),
        }


class ReadingCaller:
    """A step's journal whose model may read files first: one call here is as many as that takes.

    The usage of the answer is the sum over them. A repair goes on with what was read before.
    """

    def __init__(self, journal: Journal, files: ReadOnlyFiles) -> None:
        self._journal = journal
        self._reading = Reading(files, journal)
        self._read: list[dict[str, Any]] = []

    async def call(self, request: ModelRequest) -> Reply | CallFailure:
        """The model's answer, its reading done. Raises BudgetExhausted where a cap refuses one of the calls."""
        asked = [from_user(request.prompt)] if request.prompt else []
        history = [*request.history[:1], *self._read, *request.history[1:], *asked]
        began, usage = len(history), Usage()

        async def ask(said: tuple[dict[str, Any], ...], tools: tuple[ToolSpec, ...]) -> Reply | CallFailure:
            nonlocal usage
            update = {"prompt": "", "history": said, "tools": tools}
            reply = await self._journal.call(request.model_copy(update=update))
            usage = usage + reply.usage if reply.usage is not None else usage
            return reply

        reply = await self._reading.until_answered(history, ask)
        if not self._read:
            spoken = isinstance(reply, Reply) and reply.message.get("kind") == "response"
            self._read = history[began : -1 if spoken else None]
        return reply.model_copy(update={"usage": usage})


def from_user(text: str) -> dict[str, Any]:
    """A message of ours, as pydantic-ai writes it."""
    return {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": text}]}


def _tool_calls(reply: Reply) -> list[dict[str, Any]]:
    parts = reply.message.get("parts") or []
    return [part for part in parts if isinstance(part, dict) and part.get("part_kind") == "tool-call"]
