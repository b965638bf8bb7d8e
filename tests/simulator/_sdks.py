"""The four SDKs with their retries off, and one way to ask each for a text, an object or a stream."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import anthropic
import openai
import xai_sdk
from google import genai
from google.genai import types as google_types
from pydantic import BaseModel
from xai_sdk import chat as xai_chat
from xai_sdk.proto import chat_pb2

from bessemer.actors.backends.base import Usage

VENDORS = ("anthropic", "openai", "chat", "google", "xai")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Verdict(BaseModel):
    score: int
    reasons: list[str]
    passed: bool


SCHEMA = Verdict.model_json_schema() | {"additionalProperties": False}


class Got(NamedTuple):
    """What an SDK read."""

    text: str
    usage: Usage
    finish: str
    request_id: str


class SDKs:
    """Clients of one simulator."""

    def __init__(self, url: str, xai_host: str, key: str = "simulated", timeout: float = 60.0) -> None:
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0, timeout=timeout)
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=timeout)
        retry = google_types.HttpRetryOptions(attempts=1)
        options = google_types.HttpOptions(base_url=url, retry_options=retry, timeout=int(timeout * 1000))
        self.google = genai.Client(api_key=key, http_options=options)
        self.xai = xai_sdk.AsyncClient(
            api_key=key,
            api_host=xai_host,
            use_insecure_channel=True,
            timeout=timeout,
            channel_options=[("grpc.enable_retries", 0)],
        )

    async def close(self) -> None:
        await self.anthropic.close()
        await self.openai.close()
        await self.google.aio.aclose()
        await self.xai.close()

    async def ask(self, vendor: str, prompt: str = "Say something.", **more: Any) -> Got:
        """One answer. `schema`, `image`, `effort`, `max_output` and `system` as wished."""
        return await getattr(self, f"_{vendor}")(prompt, **more)

    async def _anthropic(self, prompt: str, **more: Any) -> Got:
        message = await self.anthropic.messages.create(**anthropic_request(prompt, **more))
        return read_anthropic(message)

    async def _openai(self, prompt: str, **more: Any) -> Got:
        return read_responses(await self.openai.responses.create(**responses_request(prompt, **more)))

    async def _chat(self, prompt: str, **more: Any) -> Got:
        return read_chat(await self.openai.chat.completions.create(**chat_request(prompt, **more)))

    async def _google(self, prompt: str, **more: Any) -> Got:
        return read_google(await self.google.aio.models.generate_content(**google_request(prompt, **more)))

    async def _xai(self, prompt: str, **more: Any) -> Got:
        return read_xai(await self.xai.chat.create(**xai_request(prompt, **more)).sample())


def anthropic_request(prompt: str, **more: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    if more.get("image"):
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PIXEL).decode()}
        content.append({"type": "image", "source": source})
    request: dict[str, Any] = {
        "model": "claude-opus-4-6",
        "max_tokens": more.get("max_output", 4096),
        "messages": [{"role": "user", "content": content}],
    }
    config: dict[str, Any] = {}
    if more.get("schema"):
        config["format"] = {"type": "json_schema", "schema": more["schema"]}
    if more.get("effort"):
        request["thinking"] = {"type": "adaptive"}
        config["effort"] = more["effort"]
    if config:
        request["output_config"] = config
    if more.get("system"):
        request["system"] = more["system"]
    return request


def responses_request(prompt: str, **more: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "input_text", "text": prompt}]
    if more.get("image"):
        content.append({"type": "input_image", "detail": "auto", "image_url": _data_url()})
    request: dict[str, Any] = {
        "model": "gpt-5.4",
        "input": [{"role": "user", "content": content}],
        "max_output_tokens": more.get("max_output", 4096),
        "store": False,
    }
    if more.get("schema"):
        named = {"type": "json_schema", "name": "verdict", "strict": True, "schema": more["schema"]}
        request["text"] = {"format": named}
    if more.get("effort"):
        request["reasoning"] = {"effort": more["effort"]}
    if more.get("system"):
        request["instructions"] = more["system"]
    return request


def chat_request(prompt: str, **more: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    if more.get("image"):
        content.append({"type": "image_url", "image_url": {"url": _data_url()}})
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if more.get("system"):
        messages.insert(0, {"role": "system", "content": more["system"]})
    request: dict[str, Any] = {"model": "small-1", "messages": messages, "max_tokens": more.get("max_output", 4096)}
    if more.get("schema"):
        named = {"name": "verdict", "strict": True, "schema": more["schema"]}
        request["response_format"] = {"type": "json_schema", "json_schema": named}
    if more.get("effort"):
        request["reasoning_effort"] = more["effort"]
    return request


def google_request(prompt: str, **more: Any) -> dict[str, Any]:
    parts = [google_types.Part(text=prompt)]
    if more.get("image"):
        parts.append(google_types.Part.from_bytes(data=PIXEL, mime_type="image/png"))
    config: dict[str, Any] = {"max_output_tokens": more.get("max_output", 4096)}
    if more.get("schema"):
        config |= {"response_mime_type": "application/json", "response_json_schema": more["schema"]}
    if more.get("effort"):
        config["thinking_config"] = google_types.ThinkingConfig(thinking_level=more["effort"].upper())
    if more.get("system"):
        config["system_instruction"] = more["system"]
    contents = google_types.Content(role="user", parts=parts)
    return {
        "model": "gemini-3-flash-preview",
        "contents": contents,
        "config": google_types.GenerateContentConfig(**config),
    }


def xai_request(prompt: str, **more: Any) -> dict[str, Any]:
    messages = [xai_chat.system(more["system"])] if more.get("system") else []
    messages.append(xai_chat.user(prompt, xai_chat.image(_data_url())) if more.get("image") else xai_chat.user(prompt))
    request: dict[str, Any] = {
        "model": "grok-4.20-0309-reasoning",
        "messages": messages,
        "max_tokens": more.get("max_output", 4096),
    }
    if more.get("schema"):
        form = {"format_type": chat_pb2.FORMAT_TYPE_JSON_SCHEMA, "schema": json.dumps(more["schema"])}
        request["response_format"] = chat_pb2.ResponseFormat(**form)
    if more.get("effort"):
        request["reasoning_effort"] = more["effort"]
    return request


def _data_url() -> str:
    return f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


def read_anthropic(message: Any) -> Got:
    used = message.usage
    text = "".join(block.text for block in message.content if block.type == "text")
    written = used.cache_creation_input_tokens
    usage = Usage(
        input=used.input_tokens + used.cache_read_input_tokens + written,
        cache_read=used.cache_read_input_tokens,
        cache_write=used.cache_creation.ephemeral_5m_input_tokens,
        cache_write_1h=used.cache_creation.ephemeral_1h_input_tokens,
        output=used.output_tokens,
        reasoning=used.output_tokens_details.thinking_tokens,
    )
    return Got(text, usage, str(message.stop_reason), str(getattr(message, "_request_id", "") or ""))


def read_responses(response: Any) -> Got:
    used = response.usage
    usage = Usage(
        input=used.input_tokens,
        cache_read=used.input_tokens_details.cached_tokens,
        output=used.output_tokens,
        reasoning=used.output_tokens_details.reasoning_tokens,
    )
    finish = response.incomplete_details.reason if response.incomplete_details else response.status
    refused = any(part.type == "refusal" for item in response.output for part in getattr(item, "content", None) or ())
    return Got(response.output_text, usage, "refusal" if refused else finish, str(getattr(response, "_request_id", "")))


def read_chat(completion: Any) -> Got:
    (choice,) = completion.choices
    used = completion.usage
    usage = Usage(
        input=used.prompt_tokens,
        cache_read=used.prompt_tokens_details.cached_tokens,
        output=used.completion_tokens,
        reasoning=used.completion_tokens_details.reasoning_tokens,
    )
    finish = "refusal" if choice.message.refusal else choice.finish_reason
    return Got(choice.message.content or "", usage, finish, str(getattr(completion, "_request_id", "")))


def read_google(response: Any) -> Got:
    used = response.usage_metadata
    usage = Usage(
        input=used.prompt_token_count,
        cache_read=used.cached_content_token_count or 0,
        output=used.candidates_token_count + (used.thoughts_token_count or 0),
        reasoning=used.thoughts_token_count or 0,
    )
    if not response.candidates:
        return Got("", usage, response.prompt_feedback.block_reason.value, str(response.response_id))
    return Got(response.text or "", usage, response.candidates[0].finish_reason.value, str(response.response_id))


def read_xai(response: Any) -> Got:
    used = response.usage
    usage = Usage(
        input=used.prompt_tokens,
        cache_read=used.cached_prompt_text_tokens,
        output=used.completion_tokens + used.reasoning_tokens,
        reasoning=used.reasoning_tokens,
    )
    return Got(response.content, usage, response.finish_reason, response.id)
