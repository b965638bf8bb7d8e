"""Answers from a YAML scenario, for tests and rehearsals: deterministic, free, and with books of what was served.

    rules:
      - match: { persona: evaluator, text: "round 2", turn: 1 }
        answer: { data: { verdict: converged } }
      - match: { purpose: build }
        answer: { tool_calls: [ { name: write, arguments: { path: a.py, content: "x = 1" } } ] }
      - match: { text: flaky }
        times: 2
        answer: { fail: rate_limited, retry_after: 0.1 }
    default: { text: done }

The first rule that matches answers. Nothing is remembered between requests: `turn` counts the model's answers in the
history, and `times: n` holds for the first n attempts of each call, so a restarted host answers the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bessemer.actors.backends._context import CallContext, current_call
from bessemer.actors.backends.base import (
    BackendFailure,
    BackendName,
    CallFailure,
    FailureKind,
    ModelRequest,
    Reply,
    Usage,
)
from bessemer.cluster.canonical import canonical_json
from bessemer.cluster.errors import SettingsError, StateUnwritable

_UNBILLED = frozenset({"rate_limited", "overloaded", "auth", "permission", "bad_request", "context_length"})
_LOST = frozenset({"timeout", "connection", "infrastructure"})
_RETRYABLE = frozenset({"rate_limited", "overloaded", "timeout", "connection"})
_USED_AND_LOST = frozenset({"refusal", "content_filter", "truncated", "malformed_output"})


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Frozen):
    """What a request must be for a rule to answer it; what is left out matches everything."""

    backend: str | None = None
    persona: str | None = None
    """Name or pattern (`*`, `?`)."""
    purpose: str | None = None
    step: str | None = None
    """Path of the run's step, or a pattern of it."""
    text: str | None = None
    """Regular expression searched in instructions, prompt and history."""
    tools: bool | None = None
    turn: int | None = Field(default=None, ge=1)
    """1 for the first answer of a conversation."""
    seed: int | None = None

    @field_validator("text")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class ToolCall(_Frozen):
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Answer(_Frozen):
    """One of text, data, tool_calls or fail."""

    text: str | None = None
    data: Any = None
    tool_calls: tuple[ToolCall, ...] = ()
    fail: FailureKind | None = None
    retry_after: float | None = Field(default=None, ge=0)
    message: str = ""
    maybe_billed: bool | None = None
    usage: Usage | None = None
    """Tokens of the answer; left out, four bytes count as one token."""
    latency: float = Field(default=0.0, ge=0)
    """Seconds until the answer."""

    @model_validator(mode="after")
    def _is_one(self) -> Answer:
        given = [name for name in ("text", "data", "tool_calls", "fail") if name in self.model_fields_set]
        if len(given) != 1 and set(given) != {"text", "tool_calls"}:
            raise ValueError("give exactly one of text, data, tool_calls and fail")
        return self


class Rule(_Frozen):
    match: Match = Match()
    answer: Answer
    times: int | None = Field(default=None, ge=1)
    """Answers only the first so many attempts of each call."""


class Scenario(_Frozen):
    rules: tuple[Rule, ...] = ()
    default: Answer | None = None
    books: str = ""

    def answer(self, request: ModelRequest, context: CallContext) -> Answer | None:
        """The first rule's answer that matches, else the default."""
        turn = 1 + sum(message.get("kind") == "response" for message in request.history)
        said = "\n".join((request.instructions, request.shared_prefix, request.prompt, _said(request.history)))
        for rule in self.rules:
            if _matches(rule, request, context, turn, said):
                return rule.answer
        return self.default


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises SettingsError with line and column, in one line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"cannot read the scenario {path}: {reason}") from None
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SettingsError(f"{path}:{_position(mark)}: {error.problem or 'not YAML'}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}:1:1: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise SettingsError(f"{path}:1:1: a scenario is a mapping with `rules` and `default`")
    try:
        return Scenario.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path}:{_position(_mark_of(tree, first['loc']))}: {where}: {first['msg']}") from None


class ScenarioFile:
    """A scenario that is read again when its file changed: hosts of a warm cluster live longer than a scenario.

    Raises SettingsError as `load_scenario`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        self.scenario = load_scenario(path)

    def current(self) -> Scenario:
        if (state := self._state()) != self._seen:
            self.scenario, self._seen = load_scenario(self._path), state
        return self.scenario

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


class ScriptedBackend:
    """A backend that answers from a scenario."""

    def __init__(self, name: BackendName, file: ScenarioFile, books: Path | None = None) -> None:
        self.name = str(name)
        self._file = file
        self._books = books or (Path(file.scenario.books) if file.scenario.books else None)

    async def request(self, request: ModelRequest) -> Reply:
        started = time.monotonic()
        context = current_call.get()
        try:
            scenario = self._file.current()
        except SettingsError as error:
            raise BackendFailure(CallFailure(kind="bad_request", message=error.message)) from None
        answer = scenario.answer(request, context)
        if answer is None:
            about = f"persona {context.persona!r}, purpose {context.purpose!r}"
            message = f"{self.name}: no rule of the scenario matches ({about}); add one, or a default"
            raise BackendFailure(CallFailure(kind="bad_request", message=message))
        if self._books is not None and answer.fail not in _UNBILLED:
            await asyncio.to_thread(self._enter, request, context)
        if answer.latency:
            await asyncio.sleep(answer.latency)
        if answer.fail is not None:
            raise BackendFailure(_failure(self.name, answer, _usage(request, answer)))
        return self._reply(request, answer, time.monotonic() - started)

    async def close(self) -> None:
        return None

    def _enter(self, request: ModelRequest, context: CallContext) -> None:
        """One durable line for one served request, before it is answered."""
        entry = {"attempt": context.attempt, "hash": request.request_hash(), "backend": request.backend}
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            file = os.open(str(self._books), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise StateUnwritable(f"cannot write the books {self._books}: {error.strerror}") from None

    def _reply(self, request: ModelRequest, answer: Answer, seconds: float) -> Reply:
        text = _text(answer)
        turn = 1 + sum(message.get("kind") == "response" for message in request.history)
        calls = [
            {
                "part_kind": "tool-call",
                "tool_name": call.name,
                "args": call.arguments,
                "tool_call_id": f"scripted-{turn}-{number}",
            }
            for number, call in enumerate(answer.tool_calls)
        ]
        parts = [*([{"part_kind": "text", "content": text}] if text else []), *calls]
        return Reply(
            text=text,
            data=answer.data if request.output_schema is not None else None,
            message={"kind": "response", "parts": parts, "model_name": self.name},
            usage=_usage(request, answer),
            finish="tool_calls" if calls else "stop",
            model=self.name,
            request_id=current_call.get().attempt,
            seconds=round(seconds, 6),
        )


def _matches(rule: Rule, request: ModelRequest, context: CallContext, turn: int, said: str) -> bool:
    match = rule.match
    if rule.times is not None and _attempt_number(context.attempt) > rule.times:
        return False
    patterns = (
        (match.backend, request.backend),
        (match.persona, context.persona),
        (match.purpose, context.purpose),
        (match.step, _step(context.attempt)),
    )
    return (
        all(pattern is None or fnmatchcase(value, pattern) for pattern, value in patterns)
        and match.tools in (None, bool(request.tools))
        and match.turn in (None, turn)
        and (match.seed is None or match.seed == request.seed)
        and (match.text is None or re.search(match.text, said) is not None)
    )


def _step(attempt: str) -> str:
    """The path in `run|path|index|n`."""
    return attempt.partition("|")[2].rpartition("|")[0].rpartition("|")[0]


def _attempt_number(attempt: str) -> int:
    number = attempt.rpartition("|")[2]
    return int(number) if number.isdigit() else 1


def _said(history: tuple[dict[str, Any], ...]) -> str:
    texts: list[str] = []
    for message in history:
        for part in message.get("parts", ()):
            content = part.get("content", part.get("args", ""))
            texts.append(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
    return "\n".join(texts)


def _text(answer: Answer) -> str:
    if answer.text is not None:
        return answer.text
    return canonical_json(answer.data).decode() if "data" in answer.model_fields_set else ""


def _usage(request: ModelRequest, answer: Answer) -> Usage:
    if answer.usage is not None:
        return answer.usage
    texts = (request.instructions, request.shared_prefix, request.prompt, _said(request.history))
    asked = sum(len(text) for text in texts)
    said = len(_text(answer)) + sum(len(call.model_dump_json()) for call in answer.tool_calls)
    return Usage(input=1 + asked // 4, output=min(1 + said // 4, request.max_output_tokens))


def _failure(name: str, answer: Answer, usage: Usage) -> CallFailure:
    kind: FailureKind = answer.fail or "infrastructure"
    return CallFailure(
        kind=kind,
        message=answer.message or f"{name}: the scenario says {kind}",
        retryable=kind in _RETRYABLE,
        retry_after=answer.retry_after,
        maybe_billed=kind in _LOST if answer.maybe_billed is None else answer.maybe_billed,
        usage=usage if kind in _USED_AND_LOST else None,
    )


def _mark_of(node: yaml.Node | None, path: tuple[int | str, ...]) -> yaml.Mark | None:
    """Where in the file the value at `path` stands, or the innermost value around it that does."""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            node = found[0] if part == path[-1] else found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            break
    return node.start_mark if node is not None else None


def _position(mark: yaml.Mark | None) -> str:
    return f"{mark.line + 1}:{mark.column + 1}" if mark is not None else "1:1"
