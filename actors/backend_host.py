"""Hosts one provider's SDK and models for every run of a home: the process in which paid requests happen."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import ray
from dotenv import load_dotenv

from bessemer.actors._backend_service import BackendService
from bessemer.actors._call_stream import CallStream
from bessemer.actors._host_metrics import HostMetrics
from bessemer.actors._hosts import host_limits, ledger_client, trace_as
from bessemer.actors._placement import whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, decode, reply
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.budget import DayBudget
from bessemer.cluster.home import Home, door_of
from bessemer.cluster.sandbox import prefer_door
from bessemer.cluster.settings import BudgetSettings


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class BackendHost(Living):
    """A BackendService as an actor. Messages are batches of calls; endings stream back as they come."""

    def __init__(self, home: bytes, name: str) -> None:
        """`name` is the actor's own, `backend/PROVIDER` or `backend/PROVIDER#N`: no other actor of this home has it."""
        end_with_raylet()
        made = Home.model_validate_json(home)
        beside = Path(made.state_dir).parent / ".env"
        # What the environment says already wins.
        load_dotenv(beside, override=False)
        prefer_door(door_of(made))
        trace_as(made, name)
        settings = BackendSettings.model_validate(made.settings.get("backends", {}))
        self._service = BackendService(
            ledger_client(made),
            limits=host_limits(made, name),
            settings=settings,
            host=name,
            day=_day_of(made),
            keys=beside,
            own_process=True,
        )
        self._calls = CallStream(self._service)
        self._metrics = HostMetrics(self._service, name)

    async def submit(self, payload: bytes) -> AsyncGenerator[bytes, None]:
        """A JSON list of CallEnvelopes in; JSON lists of Endings out, those of a moment in one message."""
        self._metrics.start()
        async for message in self._calls.submit(payload):
            yield message

    @reply
    async def cancel(self, payload: bytes) -> int:
        """Stop calls, a JSON list of their keys as text; returns how many were under way."""
        return self._calls.cancel(decode(payload))

    @reply
    async def ping(self, payload: bytes) -> str:
        """The name of this incarnation."""
        return self._service.instance

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        """Hosted models, calls in flight, limits; never a key."""
        known = self._service.describe()
        return {"hosts": known["models"], **whereabouts(), **known}


def _day_of(home: Home) -> DayBudget:
    given = BudgetSettings.model_validate(home.settings.get("budget", {}))
    return DayBudget(given.day, given.time_zone)
