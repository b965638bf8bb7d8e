"""The bare SDK loop that every figure is compared with: openai's client on aiohttp, nothing around it."""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from openai import AsyncOpenAI, DefaultAioHttpClient


async def _loop(url: str, calls: int, in_flight: int) -> float:
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=DefaultAioHttpClient())
    slots = asyncio.Semaphore(in_flight)

    async def one(number: int) -> None:
        async with slots:
            await client.chat.completions.create(
                model="bench",
                messages=[{"role": "system", "content": "Score the text."}, {"role": "user", "content": f"text {number}"}],
                max_completion_tokens=256,
            )

    await one(0)
    began = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(calls)))
    took = time.monotonic() - began
    await client.close()
    return took


def main() -> None:
    url, calls, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    before = resource.getrusage(resource.RUSAGE_SELF)
    took = asyncio.run(_loop(url, calls, in_flight))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f'{{"calls_per_second": {calls / took:.1f}, "cpu_ms_per_call": {cpu / calls * 1000:.3f}}}')


if __name__ == "__main__":
    main()
