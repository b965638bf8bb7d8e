"""The bare SDK loop that every figure is compared with: openai's client on aiohttp, nothing around it."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

from openai import AsyncOpenAI, DefaultAioHttpClient


async def _loop(url: str, calls: int, in_flight: int) -> float:
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=DefaultAioHttpClient())
    slots = asyncio.Semaphore(in_flight)

    async def one(number: int) -> None:
        async with slots:
            await client.chat.completions.create(
                model="bench",
                messages=[
                    {"role": "system", "content": "Score the text."},
                    {"role": "user", "content": f"text {number}"},
                ],
                max_completion_tokens=256,
            )

    await one(0)
    began = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(calls)))
    took = time.monotonic() - began
    await client.close()
    return took


INSPECT = """
import asyncio, json, resource, sys, time
from inspect_ai import Task, eval as run
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
url, calls, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
task = Task(dataset=[Sample(input=f"text {n}", target="7") for n in range(calls)], solver=generate(), scorer=includes())
began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
run(task, model="openai/bench", model_base_url=url, model_args={"api_key": "none"}, max_connections=in_flight,
    max_samples=in_flight, display="none", log_dir=sys.argv[4])
took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({"calls_per_second": calls / took, "cpu_ms_per_call": cpu / calls * 1000}))
"""
"""The same work with inspect_ai, an optional peer: one generate and one scorer per sample."""


def inspect_loop(url: str, calls: int, in_flight: int = 200) -> dict[str, float] | str:
    """Figures of inspect_ai on the same server, or why there are none."""
    python = os.environ.get("INSPECT_PYTHON", "")
    if not python:
        return "not compared: INSPECT_PYTHON names no Python of an environment that has inspect_ai and openai"
    with tempfile.TemporaryDirectory() as folder:
        line = [python, "-c", INSPECT, url, str(calls), str(in_flight), folder]
        done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        return f"failed: {done.stderr.strip().splitlines()[-1:]}"
    return {key: round(float(value), 3) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}


def main() -> None:
    url, calls, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    before = resource.getrusage(resource.RUSAGE_SELF)
    took = asyncio.run(_loop(url, calls, in_flight))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f'{{"calls_per_second": {calls / took:.1f}, "cpu_ms_per_call": {cpu / calls * 1000:.3f}}}')


if __name__ == "__main__":
    main()
