"""Bare SDK loops, one for each vendor: the same small request as the product sends, nothing around it.

Prints calls a second and CPU milliseconds a call as JSON: `_bare.py VENDOR CALLS IN_FLIGHT`. With `--turns` behind, it
does so once for every line of its standard input. Addresses and keys come from the vendors' own environment variables.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

SYSTEM, SCHEMA_NAME = "Score the text.", "score"
Ask = Callable[[int], Awaitable[Any]]
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["score", "reason"],
    "properties": {"score": {"type": "integer"}, "reason": {"type": "string"}},
}


def anthropic(in_flight: int) -> Ask:
    from anthropic import AsyncAnthropic, DefaultAioHttpClient

    client = AsyncAnthropic(max_retries=0, timeout=60, http_client=DefaultAioHttpClient())
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}

    async def ask(number: int) -> Any:
        return await client.messages.create(
            model="claude-opus-4-6",
            max_tokens=256,
            system=SYSTEM,
            messages=[{"role": "user", "content": f"text {number}"}],
            output_config=form,  # type: ignore[arg-type]
        )

    return ask


def openai(in_flight: int) -> Ask:
    from openai import AsyncOpenAI, DefaultAioHttpClient

    client = AsyncOpenAI(max_retries=0, timeout=60, http_client=DefaultAioHttpClient())
    form = {"format": {"type": "json_schema", "name": SCHEMA_NAME, "strict": True, "schema": SCHEMA}}

    async def ask(number: int) -> Any:
        return await client.responses.create(
            model="gpt-5.4",
            instructions=SYSTEM,
            input=f"text {number}",
            max_output_tokens=256,
            text=form,  # type: ignore[arg-type]
            store=False,
        )

    return ask


def google(in_flight: int) -> Ask:
    from google import genai
    from google.genai import types

    options = types.HttpOptions(
        base_url=os.environ["GOOGLE_GEMINI_BASE_URL"],
        timeout=60_000,
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    client = genai.Client(api_key="simulated", http_options=options).aio
    config = types.GenerateContentConfig(
        system_instruction=SYSTEM,
        max_output_tokens=256,
        response_mime_type="application/json",
        response_json_schema=SCHEMA,
    )

    async def ask(number: int) -> Any:
        return await client.models.generate_content(
            model="gemini-3.1-pro-preview", contents=f"text {number}", config=config
        )

    return ask


def xai(in_flight: int) -> Ask:
    from xai_sdk import AsyncClient
    from xai_sdk.chat import system, user

    client = AsyncClient(
        api_key="simulated",
        api_host=os.environ["BESSEMER_XAI_HOST"],
        use_insecure_channel=True,
        channel_options=[("grpc.enable_retries", 0)],
    )

    async def ask(number: int) -> Any:
        chat = client.chat.create(
            model="grok-4.20-0309-reasoning",
            messages=[system(SYSTEM), user(f"text {number}")],
            max_tokens=256,
            response_format=_scored(),
        )
        return await chat.sample()

    return ask


def _scored() -> Any:
    from pydantic import BaseModel

    class Score(BaseModel):
        score: int
        reason: str

    return Score


VENDORS = {"anthropic": anthropic, "openai": openai, "google": google, "xai": xai}


class Bare:
    """One client of a vendor, which makes turns of calls. Belongs to one event loop."""

    def __init__(self, vendor: str, in_flight: int) -> None:
        self._ask = VENDORS[vendor](in_flight)
        self._in_flight = in_flight
        self._slots = asyncio.Semaphore(in_flight)

    async def turn(self, calls: int) -> dict[str, float]:
        """Calls a second and CPU milliseconds a call, of `calls` after twice as many as are in flight."""
        await self._make(2 * self._in_flight)
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        await self._make(calls)
        took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"calls_per_second": round(calls / took, 1), "cpu_ms_per_call": round(cpu / calls * 1000, 3)}

    async def _make(self, calls: int) -> None:
        await asyncio.gather(*(self._one(number) for number in range(calls)))

    async def _one(self, number: int) -> None:
        async with self._slots:
            await self._ask(number)


async def main() -> None:
    vendor, calls, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    bare = Bare(vendor, in_flight)
    if sys.argv[4:] != ["--turns"]:
        print(json.dumps(await bare.turn(calls)))
        return
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await bare.turn(calls)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
