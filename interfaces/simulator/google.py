"""Google's Gemini API: generateContent, streamGenerateContent, countTokens and the list of models, in v1 and v1beta."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from bessemer.interfaces.simulator._answers import Answer, Usage, prompt_tokens
from bessemer.interfaces.simulator._asked import Asked, Segment, Tool, caller_of, digest_of, picture
from bessemer.interfaces.simulator._desk import Desk, Failed, Served
from bessemer.interfaces.simulator._http import BadRequest, exchange, key_problem, load, pieces, refusal, sse
from bessemer.interfaces.simulator._models import models_of

STATUS_WORDS = {
    "rate_limited": "RESOURCE_EXHAUSTED",
    "overloaded": "UNAVAILABLE",
    "server_error": "INTERNAL",
    "auth": "UNAUTHENTICATED",
    "permission": "PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
}
FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
VERSIONS = "{version:v1|v1beta|v1alpha}"


class Gemini:
    """The words of generateContent."""

    def body(self, asked: Asked, answer: Answer, request_id: str) -> dict[str, Any]:
        whole = {
            "modelVersion": asked.model,
            "responseId": request_id,
            "usageMetadata": usage_of(answer.usage),
        }
        if answer.finish == "content_filter":
            return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **whole}
        refused = answer.finish == "refusal"
        content = {"role": "model", "parts": [] if refused else list(_parts(answer))}
        return {"candidates": [{"content": content, "finishReason": FINISH[answer.finish], "index": 0}], **whole}

    def events(self, asked: Asked, answer: Answer, request_id: str) -> Iterator[bytes]:
        whole = self.body(asked, answer, request_id)
        if "candidates" not in whole:
            yield sse(whole)
            return
        (candidate,) = whole["candidates"]
        shared = {key: whole[key] for key in ("modelVersion", "responseId", "usageMetadata")}
        parts: list[Any] = list(_in_pieces(candidate["content"]["parts"])) or [None]
        for number, part in enumerate(parts, start=1):
            chunk = {"content": {"role": "model", "parts": [part] if part else []}, "index": 0}
            if number == len(parts):
                chunk["finishReason"] = candidate["finishReason"]
            yield sse({"candidates": [chunk], **shared})

    def error(self, failed: Failed, request_id: str) -> dict[str, Any]:
        details: list[dict[str, Any]] = []
        if failed.retry_after is not None:
            delay = f"{failed.retry_after:g}s"
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
        if failed.kind == "auth":
            details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"})
        status = STATUS_WORDS.get(failed.kind, "INVALID_ARGUMENT")
        if failed.status == 400:
            status = "INVALID_ARGUMENT"
        error = {"code": failed.status, "message": failed.message, "status": status}
        return {"error": {**error, "details": details} if details else error}

    def headers(self, served: Served, desk: Desk) -> dict[str, str]:
        return {"server-timing": f"gfet4t7; dur={round(served.wait * 1000)}"}


DIALECT = Gemini()


def routes(desk: Desk) -> list[web.RouteDef]:
    """The paths that answer at once."""

    async def generate(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        model, stream = request.match_info["model"], "stream" in request.path.rpartition(":")[2]
        try:
            check_key(request)
            digest = digest_of(b"google", model.encode(), raw)
            asked = read(load(raw), model, digest, request.headers, stream=stream)
        except BadRequest as error:
            return complain(error)
        return await exchange(request, desk, DIALECT, asked)

    async def count(request: web.Request) -> web.Response:
        try:
            check_key(request)
            body = load(await request.read())
            asked = read(body.get("generateContentRequest") or body, request.match_info["model"], b"", request.headers)
        except BadRequest as error:
            return complain(error)
        return web.json_response({"totalTokens": prompt_tokens(asked)})

    path = f"/{VERSIONS}/models/{{model}}"
    return [
        web.post(f"{path}:generateContent", generate),
        web.post(f"{path}:streamGenerateContent", generate),
        web.post(f"{path}:countTokens", count),
    ]


def model_list(_: web.Request) -> dict[str, Any]:
    """`GET /v1beta/models` as Google's clients read it."""
    methods = ["generateContent", "countTokens", "batchGenerateContent"]
    return {
        "models": [
            {
                "name": f"models/{name}",
                "displayName": name,
                "inputTokenLimit": 1_048_576,
                "outputTokenLimit": 65_536,
                "supportedGenerationMethods": methods,
            }
            for name in models_of("google")
        ]
    }


def check_key(request: web.Request) -> None:
    """Raises BadRequest without a key, and for one that contains `invalid` (which this vendor answers with 400)."""
    problem = key_problem(request.headers.get("x-goog-api-key", "") or request.query.get("key", ""))
    if problem == "missing":
        raise BadRequest("Method doesn't allow unregistered callers.", kind="permission", status=403)
    if problem:
        raise BadRequest("API key not valid. Please pass a valid API key.", kind="auth", status=400)


def complain(error: BadRequest) -> web.Response:
    """A refusal that never reached a model."""
    failed = Failed(error.kind, error.status, error.message)  # type: ignore[arg-type]
    return refusal(DIALECT, failed, "", {})


def read(
    body: dict[str, Any],
    model: str,
    digest: bytes,
    headers: Mapping[str, str],
    *,
    stream: bool = False,
    batch: str = "",
    key: str = "",
) -> Asked:
    """A request of generateContent. Raises BadRequest."""
    config = body.get("generationConfig") or {}
    declared = [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()]
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    labels = body.get("labels") or {}
    allowed = calling.get("allowedFunctionNames") or [""]
    return Asked(
        vendor="google",
        endpoint="generateContent",
        model=model,
        segments=tuple(_segments(body, declared)),
        digest=digest,
        schema=_schema(config),
        tools=tuple(Tool(str(one.get("name")), _parameters(one)) for one in declared),
        must_call=str(allowed[0]) if calling.get("mode") == "ANY" else None,
        max_output=config.get("maxOutputTokens"),
        effort=_effort(config.get("thinkingConfig") or {}),
        seed=config.get("seed"),
        stream=stream,
        caller=caller_of(headers, key or str(labels.get("attempt") or "")),
        batch=batch,
    )


def _schema(config: dict[str, Any]) -> dict[str, Any] | None:
    if given := config.get("responseJsonSchema"):
        return dict(given)
    if given := config.get("responseSchema"):
        return dict(plain_schema(given))
    return {} if config.get("responseMimeType") == "application/json" else None


def _parameters(declared: dict[str, Any]) -> dict[str, Any]:
    return dict(declared.get("parametersJsonSchema") or plain_schema(declared.get("parameters") or {}))


def plain_schema(given: Any) -> Any:
    """JSON schema from the OpenAPI form, which writes types in capitals and says `nullable`."""
    if isinstance(given, list):
        return [plain_schema(one) for one in given]
    if not isinstance(given, dict):
        return given
    plain = {key: plain_schema(value) for key, value in given.items() if key not in ("nullable", "propertyOrdering")}
    kind = given.get("type")
    if isinstance(kind, str):
        plain["type"] = [kind.lower(), "null"] if given.get("nullable") else kind.lower()
    for key in ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"):
        if isinstance(plain.get(key), str):
            plain[key] = int(plain[key])
    return plain


def _effort(thinking: dict[str, Any]) -> str:
    # The SDK writes these two in either case, and the vendor reads both.
    if level := thinking.get("thinkingLevel") or thinking.get("thinking_level"):
        return str(level).lower()
    budget = thinking.get("thinkingBudget") or thinking.get("thinking_budget")
    return "" if not budget else "low" if 0 < budget <= 1024 else "medium" if budget <= 8192 else "high"


def _segments(body: dict[str, Any], declared: list[dict[str, Any]]) -> Iterator[Segment]:
    if declared:
        yield Segment("tools", json.dumps(declared, sort_keys=True))
    system = body.get("systemInstruction") or {}
    if said := "\n".join(_part_text(part) for part in system.get("parts") or ()):
        yield Segment("system", said)
    contents = body.get("contents")
    if not contents:
        raise BadRequest("* GenerateContentRequest.contents: contents is not specified")
    for content in contents:
        text = "\n".join(_part_text(part) for part in content.get("parts") or ())
        yield Segment("assistant" if content.get("role") == "model" else "user", text)


def _part_text(part: dict[str, Any]) -> str:
    if "text" in part:
        return str(part["text"])
    for key in ("inlineData", "fileData"):
        if key in part:
            return picture(json.dumps(part[key], sort_keys=True))
    for key in ("functionCall", "functionResponse"):
        if key in part:
            return json.dumps({name: value for name, value in part[key].items() if name != "id"}, sort_keys=True)
    return ""


def _parts(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.thinking:
        yield {"text": answer.thinking, "thought": True}
    if answer.text or not answer.calls:
        yield {"text": answer.text}
    for call in answer.calls:
        yield {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}


def _in_pieces(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if "functionCall" in part:
            yield part
            continue
        for piece in pieces(part["text"]):
            yield {**part, "text": piece}


def usage_of(usage: Usage) -> dict[str, Any]:
    """Usage as this vendor tells it: what was thought is not among the candidates' tokens."""
    said, thought = usage.output - usage.reasoning, usage.reasoning
    told: dict[str, Any] = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": said,
        "totalTokenCount": usage.input + said + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    }
    if usage.cache_read:
        told["cachedContentTokenCount"] = usage.cache_read
        told["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cache_read}]
    if thought:
        told["thoughtsTokenCount"] = thought
    return told
