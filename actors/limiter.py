"""The one limiter of a cluster: what all hosts together may send to each provider, account and model."""

from __future__ import annotations

import asyncio
from typing import Any

import ray

from bessemer.actors._call_limits import states_json
from bessemer.actors._line import LineServer
from bessemer.actors._placement import whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, reply
from bessemer.cluster.limits import Report, Shares


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class Limiter(Living):
    """Shares the limits out to hosts. It keeps nothing: after a restart the hosts' reports bring everything back."""

    def __init__(self) -> None:
        end_with_raylet()
        self._shares = Shares()
        self._line = LineServer(self.exchange)

    @reply
    async def line(self, payload: bytes) -> dict[str, str]:
        """Where `exchange` is reached without Ray between."""
        return await self._line.where()

    async def exchange(self, payload: bytes) -> bytes:
        """A host's Report in, its Grants out."""
        report = Report.model_validate_json(payload)
        return self._shares.exchange(report, _now()).model_dump_json(exclude_defaults=True).encode()

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        """Every key: limit, rate, requests in flight and waiting, breaker, last 429, and the runs that use it."""
        states = self._shares.states(_now())
        return {"hosts": list(states), **whereabouts(), "limits": states_json(states)}


def _now() -> float:
    return asyncio.get_running_loop().time()
