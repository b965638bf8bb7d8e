"""Whatever is sent, the simulator answers in the vendor's words and goes on."""

from __future__ import annotations

from typing import Any

import aiohttp
import grpc
import pytest
from xai_sdk.chat import user
from xai_sdk.proto import chat_pb2

from bessemer.interfaces.simulator import Simulator
from tests.simulator._sdks import SDKs

PATHS = (
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/messages/batches",
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/batches",
    "/v1/files",
    "/v1beta/models/gemini-3-flash-preview:generateContent",
    "/v1beta/models/gemini-3-flash-preview:streamGenerateContent",
    "/v1beta/models/gemini-3-flash-preview:batchGenerateContent",
    "/upload/v1beta/files",
)
MODEL = {"model": "m", "max_tokens": 9}
BODIES: tuple[Any, ...] = (
    b"",
    b"not json",
    b"[1]",
    b"\xff\xfe",
    {},
    MODEL | {"messages": [], "input": [], "contents": []},
    MODEL | {"messages": "hello", "input": 7, "contents": "hello", "requests": "none"},
    MODEL | {"messages": ["hello"], "input": ["hello"], "contents": ["hello"], "requests": [{"custom_id": 1}]},
    MODEL | {"messages": [{"role": "user", "content": [7]}], "input": [{"content": [7]}], "contents": [{"parts": 7}]},
    MODEL | {"messages": [{}], "tools": [7], "input": "x", "contents": [{"parts": [{"text": "x"}]}], "batch": []},
    {"batch": "x", "requests": [7], "file": 7},
    {"batch": {"inputConfig": 7}, "requests": [{"custom_id": "a", "params": 7}]},
    {"batch": {"inputConfig": {"requests": {"requests": [7]}}}, "requests": {}},
    {"model": 7, "max_tokens": "many", "messages": [{}], "input": "x", "endpoint": "/nowhere", "input_file_id": "x"},
)
HEADERS = {"authorization": "Bearer k", "x-api-key": "k", "x-goog-api-key": "k"}


@pytest.mark.parametrize("path", PATHS)
async def test_what_cannot_be_read_is_refused_in_the_vendors_form(path: str, simulator: Simulator) -> None:
    async with aiohttp.ClientSession(simulator.url, headers=HEADERS) as session:
        for body in BODIES:
            kwargs = {"data": body} if isinstance(body, bytes) else {"json": body}
            async with session.post(path, **kwargs) as response:
                assert response.status in (200, 400, 404), (body, await response.text())
                if response.status != 200:
                    assert (await response.json())["error"]["message"]


async def test_lists_refuse_a_limit_that_is_none(simulator: Simulator) -> None:
    async with aiohttp.ClientSession(simulator.url, headers={"authorization": "Bearer k"}) as session:
        for path in ("/v1/messages/batches?limit=x", "/v1/batches?limit=0", "/v1beta/batches?pageSize=-1&key=k"):
            assert (await session.get(path)).status == 400


async def test_a_schema_that_is_no_json_is_an_invalid_argument(sdks: SDKs) -> None:
    form = chat_pb2.ResponseFormat(format_type=chat_pb2.FORMAT_TYPE_JSON_SCHEMA, schema="{")
    with pytest.raises(grpc.aio.AioRpcError) as got:
        await sdks.xai.chat.create(model="grok-4.6", messages=[user("Hm.")], response_format=form).sample()
    assert got.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_schema_that_allows_nothing_is_a_bad_request(sdks: SDKs) -> None:
    with pytest.raises(Exception, match="no value satisfies the schema"):
        await sdks.ask("openai", schema={"type": "integer", "not": {}})


@pytest.mark.parametrize("body", [b"", b"{}", b'{"value": "often"}', b'{"value": {}}', b'{"value": [1]}'])
async def test_a_dial_turned_wrongly_says_so(body: bytes, simulator: Simulator) -> None:
    async with aiohttp.ClientSession(simulator.url) as session:
        for name in ("rate", "latency", "faults", "concurrency", "batch_seconds"):
            response = await session.post(f"/_simulator/{name}", data=body)
            assert response.status == 400
            assert (await response.json())["error"]
