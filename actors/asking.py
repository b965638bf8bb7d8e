"""One structured question to one model, with one turn to correct the answer field by field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.repair import Caller, repair_request

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
MAX_PROBLEMS = 30


class Read(NamedTuple, Generic[T]):
    """What an answer means, or what is wrong with it."""

    value: T | None
    problems: Sequence[str] = ()


class Asked(NamedTuple, Generic[T]):
    """What came of a question. `value` is there only where nothing is wrong with the last answer."""

    value: T | None
    problems: tuple[str, ...] = ()
    """What was still wrong after the repair turn."""
    failure: CallFailure | None = None
    data: Any = None
    """The last answer's JSON, sound or not."""

    @property
    def why(self) -> str:
        """Why there is no value, in one line."""
        if self.failure is not None:
            return f"{self.failure.kind}: {self.failure.message}"
        shown = "; ".join(self.problems[:5])
        more = len(self.problems) - 5
        return shown + (f"; and {more} more" if more > 0 else "")


async def ask_checked(caller: Caller, request: ModelRequest, read: Callable[[Any], Read[T]]) -> Asked[T]:
    """Ask; where `read` finds problems, show them with the answer and ask once more.

    Raises what the caller raises (BudgetExhausted); every failure of the model is in the result.
    """
    asked: Asked[T] = Asked(None)
    for turn in range(2):
        reply = await caller.call(request)
        if isinstance(reply, CallFailure) and (reply.kind != "malformed_output" or turn == 1):
            return asked._replace(failure=reply) if not asked.problems else asked
        problems = [reply.message] if isinstance(reply, CallFailure) else _unfinished(reply)
        if isinstance(reply, Reply) and not problems:
            found = read(reply.data)
            if found.value is not None:
                return Asked(found.value, data=reply.data)
            problems = list(found.problems)[:MAX_PROBLEMS]
            asked = Asked(None, tuple(problems), data=reply.data)
        else:
            asked = asked._replace(problems=tuple(problems))
        request = _again(request, reply, problems)
    return asked


def field_errors(error: ValidationError) -> list[str]:
    """A validation's errors, one line a field."""
    return [f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in error.errors()]


def _unfinished(reply: Reply) -> list[str]:
    if reply.finish in ("refusal", "content_filter"):
        return [f"the model answered with a {reply.finish}"]
    if reply.finish == "length":
        return ["the answer was cut off at the output limit; be shorter"]
    return ["the answer was no JSON of the schema"] if reply.data is None else []


def _again(request: ModelRequest, reply: Reply | CallFailure, problems: Sequence[str]) -> ModelRequest:
    """The conversation with the model's own answer in it, continued by what was wrong."""
    again = repair_request(request, "\n- ".join(problems))
    if not isinstance(reply, Reply) or reply.message.get("kind") != "response":
        return again
    *before, last = again.history
    return again.model_copy(update={"history": (*before, reply.message, last)})
