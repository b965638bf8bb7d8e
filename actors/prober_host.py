"""Where probes run: sandboxed processes, no more at once than the node has cores."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict

from bessemer.actors._jobs import QUEUE_SECONDS
from bessemer.actors._placement import whereabouts
from bessemer.actors._wire import MESSAGES, HostRef, ask, reply
from bessemer.actors.probes import run_probe
from bessemer.actors.probes.base import ProbeRequest, ProbeResult
from bessemer.cluster.home import Home, door_of
from bessemer.cluster.sandbox import prefer_door

SLACK_SECONDS = 60.0
"""What a probe may wait for a core beyond its own time-out."""


class MeasureRequest(BaseModel):
    """Probes to run on one workspace; answered in the same order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    probes: tuple[ProbeRequest, ...]


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class ProberHost:
    """Hosts the probes of one node."""

    def __init__(self, home: bytes) -> None:
        self._home = Home.model_validate_json(home)
        prefer_door(door_of(self._home))
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        self._busy: dict[int, str] = {}
        self._count = 0

    @reply
    async def measure(self, payload: bytes) -> list[dict[str, Any]]:
        """A MeasureRequest in, ProbeResults out."""
        requests = MeasureRequest.model_validate_json(payload).probes
        results = await asyncio.gather(*(self._one(request) for request in requests))
        return [result.model_dump(mode="json") for result in results]

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        return {"hosts": list(self._busy.values()), "measured": self._count, **whereabouts()}

    async def _one(self, request: ProbeRequest) -> ProbeResult:
        async with self._cores:
            self._count += 1
            ticket = self._count
            self._busy[ticket] = request.probe
            try:
                return await run_probe(request)
            finally:
                del self._busy[ticket]


class HostProber:
    """The probes as builders and pipelines see them."""

    def __init__(self, host: HostRef, *, timeout: float = 120.0, artefacts: str = "") -> None:
        self._host = host
        self._timeout = timeout
        self._artefacts = artefacts

    async def measure(self, workspace: str, probes: tuple[str, ...], interpreter: str = "") -> tuple[ProbeResult, ...]:
        """Run `probes` (built-in names or command lines) on a workspace; a result for each, in order."""
        from bessemer.actors.probes import BUILTINS

        requests = tuple(
            ProbeRequest(
                probe=probe,
                kind="builtin" if probe in BUILTINS else "command",
                workspace=workspace,
                interpreter=interpreter,
                timeout=self._timeout,
                artefacts=self._artefacts,
            )
            for probe in probes
        )
        message = MeasureRequest(probes=requests).model_dump_json().encode()
        within = (self._timeout + SLACK_SECONDS) * max(1, len(requests)) + QUEUE_SECONDS
        results = await ask(self._host, "measure", message, within=within)
        return tuple(ProbeResult.model_validate(result) for result in results)
