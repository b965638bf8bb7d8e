"""One more try for an answer that breaks its schema: a call of its own, reserved and settled like any other."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any, Protocol

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply


class Caller(Protocol):
    """Makes the calls of one step, in order."""

    async def call(self, request: ModelRequest, /) -> Reply | CallFailure: ...


async def call_repairing(caller: Caller, request: ModelRequest) -> Reply | CallFailure:
    """Call, and once more with what was wrong if the answer was malformed. Raises what the caller raises."""
    answer = await caller.call(request)
    if not isinstance(answer, CallFailure) or answer.kind != "malformed_output":
        return answer
    return await caller.call(repair_request(request, answer.message))


def repair_request(request: ModelRequest, problem: str) -> ModelRequest:
    """The same conversation, continued by what was wrong with its answer."""
    return _continued(request, (), [problem])


def problems_request(request: ModelRequest, reply: Reply | CallFailure, problems: Sequence[str]) -> ModelRequest:
    """As `repair_request`, with the answer itself where there was one."""
    said = reply.message if isinstance(reply, Reply) and reply.message.get("kind") == "response" else None
    return _continued(request, () if said is None else (said,), problems)


def _continued(request: ModelRequest, said: tuple[dict[str, Any], ...], problems: Sequence[str]) -> ModelRequest:
    words = resources.files("bessemer.configs").joinpath("prompts/repair.md").read_text(encoding="utf-8")
    asked = (_from_user(request.prompt),) if request.prompt else ()
    turn = _from_user(words.strip().replace("{problems}", "\n".join(f"- {one}" for one in problems)))
    return request.model_copy(update={"prompt": "", "history": (*request.history, *asked, *said, turn)})


def _from_user(text: str) -> dict[str, Any]:
    return {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": text}]}
