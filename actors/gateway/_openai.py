"""OpenAI's Responses and Chat Completions."""

from __future__ import annotations

from typing import Any

from bessemer.actors.backends.base import Usage
from bessemer.actors.gateway._bounds import count_images, refuse_keys, refuse_tools
from bessemer.actors.gateway._dialects import Asked, RefusalKind, Unbounded, limit_of, model_of, number, part

_OWN_TOOLS = ("function", "custom", "local_shell", "apply_patch", "namespace", "tool_search")
_CODES: dict[RefusalKind, tuple[str, str]] = {
    "bad_request": ("invalid_request_error", "unsupported_value"),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "budget": ("insufficient_quota", "insufficient_quota"),
    "permission": ("invalid_request_error", "permission_denied"),
    "not_found": ("invalid_request_error", "not_found"),
    "overloaded": ("requests", "rate_limit_exceeded"),
    "unavailable": ("server_error", "server_error"),
}


def usage_of(answer: dict[str, Any], side: tuple[str, str]) -> Usage | None:
    """Usage under its names of either API: `side` is (input_tokens, output_tokens) or (prompt_…, completion_…)."""
    inward, outward = side
    told = part(answer, "usage")
    if inward not in told:
        return None
    read = part(told, f"{inward}_details")
    return Usage(
        input=number(told.get(inward)),
        cache_read=number(read.get("cached_tokens")),
        cache_write=number(read.get("cache_write_tokens")),
        output=number(told.get(outward)),
        reasoning=number(part(told, f"{outward}_details").get("reasoning_tokens")),
        tier=str(answer.get("service_tier") or ""),
    )


class ResponsesReader:
    """The last event of a stream holds the whole response."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.request_id = ""

    def feed(self, event: dict[str, Any]) -> None:
        whole = event if event.get("object") == "response" else part(event, "response")
        self.model = str(whole.get("model") or self.model)
        self.request_id = str(whole.get("id") or self.request_id)
        if whole.get("status") in ("completed", "incomplete", "failed"):
            self.usage = usage_of(whole, ("input_tokens", "output_tokens")) or self.usage


class ChatReader:
    """The usage stands in the last chunk, which is asked for."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.request_id = ""

    def feed(self, event: dict[str, Any]) -> None:
        self.model = str(event.get("model") or self.model)
        self.request_id = str(event.get("id") or self.request_id)
        self.usage = usage_of(event, ("prompt_tokens", "completion_tokens")) or self.usage


class _OpenAI:
    vendor = "openai"

    def upstream(self, path: str, base_url: str) -> str:
        return (base_url or "https://api.openai.com/v1").rstrip("/") + path.removeprefix("/v1")

    def authorize(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def refusal(self, kind: RefusalKind, message: str) -> dict[str, Any]:
        word, code = _CODES[kind]
        return {"error": {"message": message, "type": word, "param": None, "code": code}}


class Responses(_OpenAI):
    def matches(self, path: str) -> bool:
        return path == "/v1/responses"

    def read(self, path: str, body: dict[str, Any], limit: int) -> Asked:
        refuse_keys(body, ("previous_response_id", "conversation", "prompt", "background", "context_management"))
        refuse_tools(body.get("tools"), _OWN_TOOLS)
        _refuse_tier(body)
        most = limit_of(body.get("max_output_tokens"), limit)
        changed = {**body, "max_output_tokens": most, "service_tier": body.get("service_tier") or "default"}
        return Asked(model_of(self.vendor, body.get("model")), changed, most, count_images(body.get("input")))

    def reader(self) -> ResponsesReader:
        return ResponsesReader()


class Chat(_OpenAI):
    def matches(self, path: str) -> bool:
        return path == "/v1/chat/completions"

    def read(self, path: str, body: dict[str, Any], limit: int) -> Asked:
        refuse_keys(body, ("web_search_options", "audio"))
        refuse_tools(body.get("tools"), _OWN_TOOLS)
        _refuse_tier(body)
        if body.get("n") not in (None, 1):
            raise Unbounded("only one choice (`n`: 1) is allowed here")
        most = limit_of(body.get("max_completion_tokens", body.get("max_tokens")), limit)
        changed = {key: value for key, value in body.items() if key != "max_tokens"}
        changed |= {"max_completion_tokens": most, "service_tier": body.get("service_tier") or "default"}
        if body.get("stream"):
            changed["stream_options"] = {**part(body, "stream_options"), "include_usage": True}
        return Asked(model_of(self.vendor, body.get("model")), changed, most, count_images(body.get("messages")))

    def reader(self) -> ChatReader:
        return ChatReader()


def _refuse_tier(body: dict[str, Any]) -> None:
    if body.get("service_tier") not in (None, "auto", "default"):
        raise Unbounded(f"the service tier {body['service_tier']!r} has a price of its own; leave `service_tier` out")
    # The project's own setting may make "auto" a dearer tier.
    body.pop("service_tier", None)
