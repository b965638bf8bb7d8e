"""The one seam to models: `backend.request(request) -> Reply`.

Live, embedded, scripted, replayed and CLI-agent backends are siblings behind it; nothing above knows which it talks to.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bessemer.cluster.canonical import canonical_json, content_hash

FailureKind = Literal[
    "rate_limited",
    "overloaded",
    "timeout",
    "connection",
    "auth",
    "permission",
    "bad_request",
    "context_length",
    "content_filter",
    "refusal",
    "truncated",
    "malformed_output",
    "unpriced",
    "budget",
    "cancelled",
    "infrastructure",
]
FinishReason = Literal["stop", "tool_calls", "length", "refusal", "content_filter", "error"]

_VOLATILE = {"timestamp", "provider_response_id", "run_id", "conversation_id", "provider_details", "usage", "metadata"}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolSpec(_Frozen):
    """A tool the model may call, as a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


MediaType = Literal["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"]


class Attachment(_Frozen):
    """An image or a PDF shown to the model."""

    media_type: MediaType
    data: str
    """The file in base64."""

    @field_validator("data")
    @classmethod
    def _is_base64(cls, data: str) -> str:
        try:
            base64.b64decode(data, validate=True)
        except binascii.Error:
            raise ValueError("is not base64; give the file's bytes in standard base64") from None
        return data

    @classmethod
    def of(cls, content: bytes, media_type: MediaType) -> Attachment:
        """An attachment of a file's bytes."""
        return cls(media_type=media_type, data=base64.b64encode(content).decode())

    @functools.cached_property
    def content(self) -> bytes:
        return base64.b64decode(self.data)

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")


class ModelRequest(_Frozen):
    """One request to one model. Either `prompt` (single-shot) or `history` (a tool loop) carries the conversation.

    The first message a model reads is `shared_prefix`, then `attachments`, then what the conversation begins with.
    """

    backend: str
    """`provider/model`."""
    instructions: str = ""
    """The system prompt."""
    shared_prefix: str = ""
    """What a whole panel is shown, for example the deliverable; vendors cache it, with `attachments`, up to its end."""
    attachments: tuple[Attachment, ...] = ()
    """Images and PDFs; part of what a panel shares."""
    prompt: str = ""
    history: tuple[dict[str, Any], ...] = ()
    """pydantic-ai messages as JSON objects, oldest first."""
    tools: tuple[ToolSpec, ...] = ()
    output_schema: dict[str, Any] | None = None
    """JSON schema of the answer; None asks for plain text."""
    output_name: str = "answer"
    max_output_tokens: int = 4096
    """Upper limit on output tokens, reasoning included; always set, because the worst case is computed from it."""
    temperature: float | None = None
    seed: int | None = None
    effort: Literal["low", "medium", "high"] | None = None
    timeout: float = 300.0
    """Seconds until the request counts as lost."""

    def canonical(self) -> dict[str, Any]:
        """What is asked, as JSON: no timestamps, tool-call ids by their order, attachments by their hashes."""
        content = self.model_dump(mode="json", exclude={"timeout", "attachments"})
        content["attachments"] = [[one.media_type, one.sha256] for one in self.attachments]
        ids: dict[str, str] = {}
        content["history"] = [_stable(message, ids) for message in content["history"]]
        return content

    @property
    def most_tokens(self) -> int:
        """Upper bound of what the model is made to read: no token is shorter than a byte.

        A schema counts twice, because some vendors also put it into words; each message has a template around it.
        Attachments are not in it: a model reads an image in its own measure (`attachment_tokens`).
        """
        texts = sum(len(text.encode()) for text in (self.instructions, self.shared_prefix, self.prompt))
        history = sum(len(canonical_json(message)) + 64 for message in self.history)
        tools = sum(len(canonical_json(tool.model_dump())) + 64 for tool in self.tools)
        return texts + history + tools + 2 * len(self.output_schema_json)

    @property
    def output_schema_json(self) -> bytes:
        """The schema as it is given, as JSON; empty where there is none."""
        return b"" if self.output_schema is None else pydantic_core.to_json(self.output_schema)

    def request_hash(self) -> str:
        """SHA-256 of the canonical content."""
        return content_hash(self.canonical())


def _stable(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_stable(item, ids) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _stable(item, ids) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(call := value.get("tool_call_id"), str):
        kept["tool_call_id"] = ids.setdefault(call, f"call-{len(ids)}")
    return kept


class Usage(_Frozen):
    """Tokens of one request, and what the vendor says of their price.

    `input` includes what was read from and written to caches, `cache_write` its one-hour part; `output` includes
    reasoning.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    tier: str = ""
    """Processing tier in the vendor's word, for example `priority` or `batch`; empty where it names none."""
    vendor_cost: int | None = None
    """The vendor's own bill in units of 1e-10 dollars, where it sends one."""

    def __add__(self, other: Usage) -> Usage:
        """Sums; a tier only where both have the same, a bill only where both have one."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        bills = (self.vendor_cost, other.vendor_cost)
        bill = None if bills[0] is None or bills[1] is None else bills[0] + bills[1]
        return Usage(**counts, tier=self.tier if self.tier == other.tier else "", vendor_cost=bill)


_COUNTS = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")


class Reply(_Frozen):
    """What a model answered."""

    text: str = ""
    data: Any = None
    """The parsed JSON answer where the request carried a schema."""
    message: dict[str, Any] = Field(default_factory=dict)
    """The pydantic-ai ModelResponse as JSON; a tool loop appends it to its history."""
    usage: Usage = Usage()
    finish: FinishReason = "stop"
    model: str = ""
    """The model id the provider says it answered with."""
    request_id: str = ""
    seconds: float = 0.0
    rate_headers: Mapping[str, str] = Field(default_factory=dict, exclude=True)
    """The vendor's rate-limit headers, names in lower case, for the limiter; never stored."""


class CallFailure(_Frozen):
    """Why a call has no answer: data, never an SDK's exception, because those do not survive a process boundary."""

    kind: FailureKind
    message: str
    retryable: bool = False
    retry_after: float | None = None
    """Seconds the provider asked to wait."""
    request_id: str = ""
    maybe_billed: bool = False
    """True where the provider may bill the request although no answer came: its attempt goes in doubt."""
    usage: Usage | None = None
    """Usage of an answer that was billed but cannot be used (truncated, malformed, refused)."""
    rate_headers: Mapping[str, str] = Field(default_factory=dict, exclude=True)
    """As in Reply."""


class BackendFailure(Exception):
    """Raised by a backend's `request`; never leaves the host."""

    def __init__(self, failure: CallFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Backend(Protocol):
    """One model behind one provider."""

    name: str
    """`provider/model`, as in the request."""

    async def request(self, request: ModelRequest) -> Reply:
        """One attempt, no retries. Raises BackendFailure."""
        ...

    async def close(self) -> None: ...


ALIASES = {"claude": "anthropic", "gemini": "google", "grok": "xai", "claude_code": "claude-code"}
_SPEC = re.compile(r"^(?P<provider>[a-z0-9][a-z0-9_-]*)[/:](?P<model>\S+)$", re.IGNORECASE)


class BackendName(_Frozen):
    """`provider/model` taken apart, aliases resolved."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@functools.lru_cache(maxsize=1024)
def split_name(spec: str) -> BackendName | None:
    """Read `provider/model` or `provider:model`; None if it has neither form."""
    found = _SPEC.match(spec.strip())
    if found is None:
        return None
    provider = found["provider"].lower()
    return BackendName(provider=ALIASES.get(provider, provider), model=found["model"])
