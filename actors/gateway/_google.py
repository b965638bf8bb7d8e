"""Gemini's generateContent, whole or streamed."""

from __future__ import annotations

import re
from typing import Any

from bessemer.actors.backends.base import Usage
from bessemer.actors.gateway._bounds import count_images
from bessemer.actors.gateway._dialects import STATUS, Asked, RefusalKind, Unbounded, limit_of, model_of, number, part

_PATH = re.compile(r"^/v1(?:beta)?/models/(?P<model>[A-Za-z0-9._-]+):(?:generateContent|streamGenerateContent)$")
_OWN_TOOLS = frozenset({"functionDeclarations", "function_declarations"})
_WORDS: dict[RefusalKind, str] = {
    "bad_request": "INVALID_ARGUMENT",
    "auth": "UNAUTHENTICATED",
    "budget": "FAILED_PRECONDITION",
    "permission": "PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
    "overloaded": "RESOURCE_EXHAUSTED",
    "unavailable": "UNAVAILABLE",
}


class GenerateReader:
    """Every chunk tells the usage so far; the one that ends the answer tells all of it."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.request_id = ""
        self._ended = False

    def feed(self, event: dict[str, Any]) -> None:
        self.model = str(event.get("modelVersion") or self.model)
        self.request_id = str(event.get("responseId") or self.request_id)
        candidates = event.get("candidates")
        ends = [one for one in candidates if part(one).get("finishReason")] if isinstance(candidates, list) else []
        self._ended = self._ended or bool(ends) or bool(part(event, "promptFeedback").get("blockReason"))
        told = part(event, "usageMetadata")
        if self._ended and told:
            thoughts = number(told.get("thoughtsTokenCount"))
            self.usage = Usage(
                input=number(told.get("promptTokenCount")) + number(told.get("toolUsePromptTokenCount")),
                cache_read=number(told.get("cachedContentTokenCount")),
                output=number(told.get("candidatesTokenCount")) + thoughts,
                reasoning=thoughts,
            )


class Generate:
    vendor = "google"

    def matches(self, path: str) -> bool:
        return _PATH.match(path) is not None

    def read(self, path: str, body: dict[str, Any], limit: int) -> Asked:
        found = _PATH.match(path)
        tools = body.get("tools")
        for tool in tools if isinstance(tools, list) else []:
            if theirs := set(part(tool)) - _OWN_TOOLS:
                raise Unbounded(f"the tools {sorted(theirs)} are run and billed by the vendor; leave them out")
        if body.get("cachedContent") or body.get("cached_content"):
            raise Unbounded("`cachedContent` is refused here: it can cost what the request does not tell")
        config = dict(part(body, "generationConfig") or part(body, "generation_config"))
        if config.get("candidateCount", config.get("candidate_count")) not in (None, 1):
            raise Unbounded("only one candidate is allowed here")
        most = limit_of(config.pop("max_output_tokens", config.get("maxOutputTokens")), limit)
        changed = {key: value for key, value in body.items() if key not in ("generation_config", "serviceTier")}
        changed["generationConfig"] = {**config, "maxOutputTokens": most}
        images = count_images([body.get("contents"), body.get("systemInstruction")])
        return Asked(model_of(self.vendor, found["model"] if found else None), changed, most, images)

    def upstream(self, path: str, base_url: str) -> str:
        return (base_url or "https://generativelanguage.googleapis.com").rstrip("/") + path

    def authorize(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}

    def reader(self) -> GenerateReader:
        return GenerateReader()

    def refusal(self, kind: RefusalKind, message: str) -> dict[str, Any]:
        return {"error": {"code": STATUS[kind], "message": message, "status": _WORDS[kind]}}
