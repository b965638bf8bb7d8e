"""What OpenAI's two APIs share: errors, headers, content parts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bessemer.interfaces.simulator._asked import picture
from bessemer.interfaces.simulator._desk import Desk, Failed, Served

CODES = {
    "rate_limited": ("requests", "rate_limit_exceeded"),
    "overloaded": ("server_error", "server_overloaded"),
    "server_error": ("server_error", "server_error"),
    "context_length": ("invalid_request_error", "context_length_exceeded"),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "permission": ("invalid_request_error", "model_not_found"),
    "not_found": ("invalid_request_error", "not_found"),
}
IMAGE_KINDS = frozenset({"input_image", "image_url", "input_file", "file", "input_audio"})


class OpenAIWords:
    """Errors and headers of both APIs."""

    def error(self, failed: Failed, request_id: str) -> dict[str, Any]:
        kind, code = CODES.get(failed.kind, ("invalid_request_error", None))
        return {"error": {"message": failed.message, "type": kind, "param": None, "code": code}}

    def headers(self, served: Served, desk: Desk) -> dict[str, str]:
        headers = {
            "x-request-id": f"req_{served.request_id}",
            "openai-processing-ms": str(round(served.wait * 1000)),
            "openai-organization": "simulated",
        }
        failed = served.reply if isinstance(served.reply, Failed) else None
        if failed is not None and failed.retry_after is not None:
            headers["retry-after-ms"] = str(round(failed.retry_after * 1000))
        if not desk.settings.show_limits:
            return headers
        given = served.allowance
        limit = round(given.per_second * 60) if given is not None else 100_000
        remaining = given.remaining if given is not None else limit - 1
        reset = given.full_in if given is not None else 0.0
        return headers | {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(remaining),
            "x-ratelimit-reset-requests": f"{round(reset * 1000)}ms",
            "x-ratelimit-limit-tokens": "50000000",
            "x-ratelimit-remaining-tokens": "49000000",
            "x-ratelimit-reset-tokens": "0s",
        }


def content_text(content: Any) -> str:
    """The text of a message's content; images and files stand in it by their tokens."""
    if isinstance(content, str):
        return content
    return "\n".join(_part_text(part) for part in content or () if isinstance(part, dict))


def _part_text(part: dict[str, Any]) -> str:
    if part.get("type") in IMAGE_KINDS:
        return picture(json.dumps(part, sort_keys=True))
    return str(part.get("text") or part.get("refusal") or "")


def tools_text(tools: Iterable[dict[str, Any]]) -> str:
    """The declared tools as the prompt carries them."""
    declared = list(tools)
    return json.dumps(declared, sort_keys=True) if declared else ""
