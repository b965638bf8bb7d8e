"""A journal in memory that answers calls from a list, as a step does on replay."""

from __future__ import annotations

from typing import Any

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply, Usage


class ListedAnswers:
    """Answers call n with `answers[n]`: data, a Reply or a CallFailure."""

    path = "round-1/evaluate"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[ModelRequest] = []
        self.seen: dict[str, Any] = {}

    async def call(self, request: ModelRequest) -> Reply | CallFailure:
        self.requests.append(request)
        answer = self.answers[len(self.requests) - 1]
        if isinstance(answer, Reply | CallFailure):
            return answer
        message = {"kind": "response", "parts": [{"part_kind": "text", "content": "an earlier answer"}]}
        return Reply(data=answer, message=message, usage=Usage(input=100, output=10), model="m-1", seconds=0.5)

    async def observe(self, name: str, value: Any) -> Any:
        return self.seen.setdefault(name, value)

    async def recall(self, name: str) -> Any | None:
        return self.seen.get(name)
