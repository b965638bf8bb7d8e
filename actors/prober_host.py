"""Where probes run: sandboxed processes, no more at once than the node has cores."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import ray

from bessemer.actors._placement import whereabouts
from bessemer.actors._probing import MeasureRequest
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, decode, reply
from bessemer.actors.apart import ProbeJob, ProbesResult, arrived, measured_here
from bessemer.actors.probes import environment_of, run_probe
from bessemer.actors.probes.base import ProbeRequest, ProbeResult
from bessemer.cluster.home import Home, door_of
from bessemer.cluster.sandbox import prefer_door

ENVIRONMENT_SECONDS = 300.0
"""How long it is believed what a Python has installed."""


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class ProberHost(Living):
    """Hosts the probes of one node."""

    def __init__(self, home: bytes) -> None:
        end_with_raylet()
        self._home = Home.model_validate_json(home)
        prefer_door(door_of(self._home))
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        self._looking = asyncio.Lock()
        self._environments: dict[str, tuple[str, float]] = {}
        self._busy: dict[int, str] = {}
        self._count = 0

    @reply
    async def measure(self, payload: bytes) -> list[dict[str, Any]]:
        """A MeasureRequest in, ProbeResults out."""
        requests = MeasureRequest.model_validate_json(payload).probes
        results = await asyncio.gather(*(self._one(request) for request in requests))
        return [result.model_dump(mode="json") for result in results]

    @reply
    async def measure_apart(self, payload: bytes) -> dict[str, Any]:
        """A ProbeJob of a run that lives on another machine in, a ProbesResult out."""
        job = ProbeJob.model_validate_json(payload)
        if await self._environment(job.interpreter) != job.environment or not job.environment:
            return ProbesResult(other_environment=True).model_dump(mode="json")
        arrival = await arrived(job.work, self._home)
        found = arrival.lacking or await measured_here(job, arrival, self._one)
        return found.model_dump(mode="json")

    @reply
    async def environment(self, payload: bytes) -> str:
        """What `environment_of` the named interpreter says here."""
        return await self._environment(decode(payload)["interpreter"])

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        return {"hosts": list(self._busy.values()), "measured": self._count, **whereabouts()}

    async def _environment(self, interpreter: str) -> str:
        python = interpreter or sys.executable
        async with self._looking:
            found, until = self._environments.get(python, ("", 0.0))
            if time.monotonic() > until:
                found = await environment_of(python)
                self._environments[python] = found, time.monotonic() + ENVIRONMENT_SECONDS
        return found

    async def _one(self, request: ProbeRequest) -> ProbeResult:
        async with self._cores:
            self._count += 1
            ticket = self._count
            self._busy[ticket] = request.probe
            try:
                return await run_probe(request)
            finally:
                del self._busy[ticket]
