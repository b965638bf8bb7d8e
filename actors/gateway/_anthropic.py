"""Anthropic's Messages."""

from __future__ import annotations

from typing import Any

from bessemer.actors.backends.base import Usage
from bessemer.actors.gateway._bounds import count_images, refuse_keys, refuse_tools
from bessemer.actors.gateway._dialects import Asked, RefusalKind, Unbounded, limit_of, model_of, number, part

_OWN_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
_LEAST_THINKING = 1024
_WORDS: dict[RefusalKind, str] = {
    "bad_request": "invalid_request_error",
    "auth": "authentication_error",
    "budget": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "overloaded": "rate_limit_error",
    "unavailable": "api_error",
}


class MessagesReader:
    """Input is told when an answer starts, output when it ends."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.request_id = ""
        self._told: dict[str, Any] = {}

    def feed(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        message = part(event, "message") if kind == "message_start" else event
        if kind in ("message_start", "message"):
            self.model, self.request_id = str(message.get("model", "")), str(message.get("id", ""))
        if kind in ("message_start", "message", "message_delta"):
            self._told |= {name: value for name, value in part(message, "usage").items() if value is not None}
        if kind in ("message", "message_delta") and self._told:
            self.usage = self._sum()

    def _sum(self) -> Usage:
        told = self._told
        read, write = number(told.get("cache_read_input_tokens")), number(told.get("cache_creation_input_tokens"))
        return Usage(
            input=number(told.get("input_tokens")) + read + write,
            cache_read=read,
            cache_write=write,
            cache_write_1h=number(part(told, "cache_creation").get("ephemeral_1h_input_tokens")),
            output=number(told.get("output_tokens")),
            reasoning=number(part(told, "output_tokens_details").get("thinking_tokens")),
            tier=str(told.get("service_tier") or ""),
        )


class Messages:
    vendor = "anthropic"

    def matches(self, path: str) -> bool:
        return path == "/v1/messages"

    def read(self, path: str, body: dict[str, Any], limit: int) -> Asked:
        refuse_keys(body, ("container", "mcp_servers"))
        refuse_tools(body.get("tools"), _OWN_TOOLS)
        edits = part(body, "context_management").get("edits")
        if any(
            str(part(edit).get("type")).startswith("compact") for edit in (edits if isinstance(edits, list) else [])
        ):
            raise Unbounded("compaction by the vendor is billed beside the answer's own usage; leave it out")
        if body.get("inference_geo") not in (None, "global"):
            raise Unbounded("`inference_geo` has a price of its own; leave it out")
        if body.get("speed") not in (None, "standard"):
            raise Unbounded("only the standard speed is allowed here: others have prices of their own")
        most = limit_of(body.get("max_tokens"), limit)
        changed = {**body, "max_tokens": most, "service_tier": "standard_only"}
        thinking = part(body, "thinking")
        if isinstance(budget := thinking.get("budget_tokens"), int) and budget >= most:
            # The vendor wants less thinking than output; below its least it wants none.
            lower = {**thinking, "budget_tokens": most - 1} if most > _LEAST_THINKING else {"type": "disabled"}
            changed["thinking"] = lower
        images = count_images([body.get("messages"), body.get("system")])
        return Asked(model_of(self.vendor, body.get("model")), changed, most, images)

    def upstream(self, path: str, base_url: str) -> str:
        return (base_url or "https://api.anthropic.com").rstrip("/").removesuffix("/v1") + path

    def authorize(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}

    def reader(self) -> MessagesReader:
        return MessagesReader()

    def refusal(self, kind: RefusalKind, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": _WORDS[kind], "message": message}}
