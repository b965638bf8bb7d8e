"""One review: a prompt in, a structured and checked answer out, or a typed reason why there is none.

A first answer that breaks the schema or does not make sense is shown what is wrong with it and may be given once more.
A refusal, an empty or a broken answer never becomes a score.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply, Usage
from bessemer.actors.builders.base import Journal
from bessemer.actors.reviewers._material import Material
from bessemer.actors.reviewers._persona import Persona, prompt
from bessemer.actors.reviewers._reading import Reading, from_user
from bessemer.actors.reviewers._tools import ReadOnlyFiles

MAX_PROBLEMS = 20

A = TypeVar("A", bound=BaseModel)
Status = Literal["ok", "failed", "abstained"]
_ABSTAINED = {"refusal", "content_filter"}


class ReviewSettings(BaseModel):
    """How a reviewer's model is called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str
    """`provider/model`."""
    max_output_tokens: int = 8192
    """Reasoning included."""
    timeout: float = 300.0
    """Seconds per call."""
    effort: Literal["low", "medium", "high"] | None = None
    temperature: float | None = None
    tools: bool = False
    """Whether the model can use tools; without them, files that do not fit are only named."""
    inline_bytes: int = 120_000


class Review(NamedTuple, Generic[A]):
    """What became of one review. `answer` is there only where `status` is ok."""

    status: Status
    answer: A | None
    problems: tuple[str, ...] = ()
    """What was still wrong with the answer after its repair turn; the caller decides what that voids."""
    message: str = ""
    kind: str = ""
    """The failure's kind, as in `CallFailure`."""
    calls: int = 0
    usage: Usage = Usage()
    model: str = ""
    seconds: float = 0.0


class Prompt(NamedTuple):
    """A prompt's two parts: what a panel shares, then what makes the persona."""

    material: Material
    ask: str
    """What this reviewer is asked, after its persona."""


async def review(
    persona: Persona,
    request: Prompt,
    answer: type[A],
    journal: Journal,
    settings: ReviewSettings,
    check: Callable[[A], Sequence[str]],
) -> Review[A]:
    """Ask once, and once more if the answer breaks the schema or `check` names problems.

    Raises what the journal raises (BudgetExhausted); every failure of the model is in the result.
    """
    talk = _Talk(persona, request, answer, journal, settings)
    parsed: A | None = None
    problems: list[str] = []
    for turn in range(2):
        reply = await talk.ask() if turn == 0 else await talk.ask_again(problems)
        if isinstance(reply, CallFailure) and reply.kind != "malformed_output":
            return talk.failed(reply) if parsed is None else talk.done(parsed, problems)
        if isinstance(reply, Reply) and reply.finish in _ABSTAINED and parsed is None:
            return talk.ended("abstained", reply.finish, f"the model answered with a {reply.finish}")
        latest, problems = _parse(reply, answer)
        if latest is not None:
            # Looking quotations up in a large deliverable takes longer than the loop may be held.
            parsed, problems = latest, list(await asyncio.to_thread(check, latest))[:MAX_PROBLEMS]
        if latest is not None and not problems:
            return talk.done(latest, [])
    if parsed is None:
        return talk.ended("failed", "malformed_output", "; ".join(problems[:3]))
    return talk.done(parsed, list(check(parsed))[:MAX_PROBLEMS])


class _Parsed(NamedTuple, Generic[A]):
    answer: A | None
    problems: list[str]


def _parse(reply: Reply | CallFailure, answer: type[A]) -> _Parsed[A]:
    if isinstance(reply, CallFailure):
        return _Parsed(None, [reply.message])
    if reply.finish == "length":
        return _Parsed(None, ["the answer was cut off at the output limit; be shorter"])
    if reply.data is None and not reply.text.strip():
        return _Parsed(None, ["the answer was empty"])
    try:
        if reply.data is not None:
            return _Parsed(answer.model_validate(reply.data), [])
        return _Parsed(answer.model_validate_json(reply.text.strip()), [])
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in one['loc']) or 'answer'}: {one['msg']}" for one in error.errors()]
        return _Parsed(None, lines[:MAX_PROBLEMS])


class _Talk:
    """The conversation with one model about one subject."""

    def __init__(
        self, persona: Persona, request: Prompt, answer: type[BaseModel], journal: Journal, settings: ReviewSettings
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._shared = request.material.prefix
        self._first = f"# Your part\n\n{persona.body}\n\n{request.ask}"
        self._schema = answer.model_json_schema()
        self._name = answer.__name__.removesuffix("Answer").lower()
        wants_tools = settings.tools and bool(request.material.left_out)
        files = ReadOnlyFiles(request.material.trees, request.material.fence) if wants_tools else None
        self._reading = Reading(files, journal) if files else None
        self._history: list[dict[str, Any]] = []
        self._calls = 0
        self._usage = Usage()
        self._seconds = 0.0
        self._model = ""

    async def ask(self) -> Reply | CallFailure:
        if self._reading is None:
            return await self._call(self._request(prompt=self._first))
        self._history = [from_user(self._first)]
        return await self._with_tools(self._reading)

    async def ask_again(self, problems: Sequence[str]) -> Reply | CallFailure:
        words = prompt("repair").replace("{problems}", "\n".join(f"- {one}" for one in problems))
        if not self._history:
            self._history = [from_user(self._first)]
        self._history.append(from_user(words))
        if self._reading is not None:
            return await self._with_tools(self._reading)
        return await self._call(self._request(history=tuple(self._history)))

    async def _with_tools(self, reading: Reading) -> Reply | CallFailure:
        return await reading.until_answered(
            self._history, lambda said, tools: self._call(self._request(history=said, tools=tools))
        )

    async def _call(self, request: ModelRequest) -> Reply | CallFailure:
        reply = await self._journal.call(request)
        self._calls += 1
        usage = reply.usage
        if usage is not None:
            self._usage = self._usage + usage
        if isinstance(reply, Reply):
            self._seconds += reply.seconds
            self._model = reply.model or self._model
            if request.prompt and not self._history:
                self._history = [from_user(request.prompt)]
            if self._reading is None and reply.message.get("kind") == "response":
                self._history.append(reply.message)
        return reply

    def _request(self, **content: Any) -> ModelRequest:
        settings = self._settings
        return ModelRequest(
            backend=settings.backend,
            instructions=prompt("reviewer"),
            shared_prefix=self._shared,
            output_schema=self._schema,
            output_name=self._name,
            max_output_tokens=settings.max_output_tokens,
            temperature=settings.temperature,
            effort=settings.effort,
            timeout=settings.timeout,
            **content,
        )

    def failed(self, failure: CallFailure) -> Review[Any]:
        status: Status = "abstained" if failure.kind in _ABSTAINED else "failed"
        return self.ended(status, failure.kind, failure.message)

    def ended(self, status: Status, kind: str, message: str) -> Review[Any]:
        return Review(
            status,
            None,
            message=" ".join(message.split())[:500],
            kind=kind,
            calls=self._calls,
            usage=self._usage,
            model=self._model,
            seconds=self._seconds,
        )

    def done(self, answer: Any, problems: Sequence[str]) -> Review[Any]:
        return Review(
            "ok",
            answer,
            problems=tuple(problems),
            calls=self._calls,
            usage=self._usage,
            model=self._model,
            seconds=self._seconds,
        )
