"""Where builders work: worktrees, agent loops and tools on one node."""

from __future__ import annotations

from typing import Any

import ray

from bessemer.actors._hosts import backend_client, ledger_client, prober_ref
from bessemer.actors._jobs import Jobs
from bessemer.actors._journal import StepJournal
from bessemer.actors._placement import whereabouts
from bessemer.actors._probing import HostProber
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, decode, reply
from bessemer.actors.apart import ApartJob, BuildJob, arrived, forget_old_work, packed_result, placed_here
from bessemer.actors.backends import capabilities
from bessemer.actors.builders import builder_for
from bessemer.actors.builders.base import BuildResult
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.home import Home, door_of
from bessemer.cluster.sandbox import prefer_door

SLOTS = 16
"""Candidates in hand at once on one node: they mostly wait for models, and the probes have a limit of their own."""


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class BuilderHost(Living):
    """Hosts the builders of one node."""

    def __init__(self, home: bytes) -> None:
        end_with_raylet()
        self._home = Home.model_validate_json(home)
        prefer_door(door_of(self._home))
        forget_old_work(self._home)
        self._jobs = Jobs(SLOTS)
        self._ledger = ledger_client(self._home)
        self._backends = backend_client(self._home)
        self._prober = prober_ref(self._home)
        self._settings = BackendSettings.model_validate(self._home.settings.get("backends", {}))

    @reply
    async def build(self, payload: bytes) -> dict[str, Any]:
        """A BuildJob in, a BuildResult out."""
        job = BuildJob.model_validate_json(payload)
        result = await self._jobs.do(job.ticket, lambda: self._build(job))
        return result.model_dump(mode="json")

    @reply
    async def build_apart(self, payload: bytes) -> dict[str, Any]:
        """An ApartJob of a run that lives on another machine in, an ApartResult out."""
        apart = ApartJob.model_validate_json(payload)
        arrival = await arrived(apart.base, self._home)
        if arrival.lacking:
            return arrival.lacking.model_dump(mode="json")
        job = await placed_here(apart, arrival)
        result = await self._jobs.do(job.ticket, lambda: self._build(job))
        return (await packed_result(job, result, self._home)).model_dump(mode="json")

    @reply
    async def cancel(self, payload: bytes) -> int:
        message = decode(payload)
        return await self._jobs.cancel(message["run"], message.get("path", ""))

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        return {"hosts": self._jobs.names(), **whereabouts()}

    async def _build(self, job: BuildJob) -> BuildResult:
        journal = StepJournal(job.ticket, self._ledger, self._backends, purpose="build")
        builder = builder_for(capabilities(job.request.backend, self._settings))
        return await builder.build(job.request, journal, HostProber(self._prober))
