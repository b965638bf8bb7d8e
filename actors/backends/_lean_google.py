"""The google-genai client without its walks over every request.

The SDK turns a request into the wire's form field by field, through four models and as many copies, which is a third
of a call's CPU (`docs/performance.md`). A request of texts and plain settings is written down at once; any other is
left to the SDK, and so are connections, errors, and the reading of answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.genai import Client, _extra_utils
from google.genai.models import AsyncModels, _GenerateContentResponse_from_mldev
from google.genai.types import GenerateContentResponse, HttpOptions, HttpResponse

_GENERATION = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_output_tokens": "maxOutputTokens",
    "seed": "seed",
    "response_mime_type": "responseMimeType",
    "response_json_schema": "responseJsonSchema",
    "response_modalities": "responseModalities",
}
"""Settings that are sent as they are, with their names on the wire."""
_BESIDE = {"http_options", "system_instruction"}


def make_lean(client: Client) -> None:
    """Let a client of the Gemini API post plain requests as they are."""
    client.aio._models = LeanModels(client._api_client)


class LeanModels(AsyncModels):
    """AsyncModels whose plain requests are posted as they are."""

    async def generate_content(self, *, model: str, contents: Any, config: Any = None) -> GenerateContentResponse:
        body = None if "/" in model else plain_body(contents, config)
        if body is None:
            return await super().generate_content(model=model, contents=contents, config=config)
        options = HttpOptions(**(config.get("http_options") or {}))
        answer = await self._api_client.async_request("post", f"models/{model}:generateContent", body, options)
        value = json.loads(answer.body) if answer.body else {}
        kind: Any = GenerateContentResponse
        response = kind._from_response(response=_GenerateContentResponse_from_mldev(value), kwargs={})
        response.sdk_http_response = HttpResponse(headers=answer.headers)
        self._api_client._verify_response(response)
        return await self._whole(response, model, contents, config)

    async def _whole(self, first: Any, model: str, contents: Any, config: Any) -> GenerateContentResponse:
        """An answer that the vendor sends in several parts, as the SDK puts it together."""
        parts = [first]
        while token := _extra_utils.should_continue_generation(parts[-1]):
            onward = _extra_utils.prepare_continuation_config(config, token)
            parts.append(await self._generate_content(model=model, contents=contents, config=onward))
        return _extra_utils.merge_continuation_responses(parts, config=config)


def plain_body(contents: Any, config: Any) -> dict[str, Any] | None:
    """The body of a request in which there are only texts and plain settings; None for any other."""
    if not (isinstance(contents, list) and isinstance(config, dict)):
        return None
    given = {name: value for name, value in config.items() if value is not None}
    if not given.keys() <= _GENERATION.keys() | _BESIDE:
        return None
    system = given.get("system_instruction")
    said = [_plain(content) for content in (*contents, *([system] if system is not None else ()))]
    if not contents or None in said:
        return None
    body: dict[str, Any] = {"contents": said[: len(contents)]}
    if system is not None:
        body["systemInstruction"] = said[-1]
    settings = {wire: given[name] for name, wire in _GENERATION.items() if name in given}
    return {**body, "generationConfig": settings} if settings else body


def _plain(content: Any) -> dict[str, Any] | None:
    if not isinstance(content, dict) or content.keys() != {"role", "parts"}:
        return None
    parts: Sequence[Any] = content["parts"]
    if not all(isinstance(part, dict) and part.keys() == {"text"} for part in parts):
        return None
    return {"parts": [{"text": part["text"]} for part in parts], "role": content["role"]}
