"""Hosts one provider's SDK and models for every run of a home: the process in which paid requests happen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from dotenv import load_dotenv

from bessemer.actors._backend_service import BackendService
from bessemer.actors._host_metrics import HostMetrics
from bessemer.actors._hosts import host_limits, ledger_client, trace_as
from bessemer.actors._line import LineServer
from bessemer.actors._mailboxes import Mailboxes
from bessemer.actors._placement import whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, reply
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.budget import DayBudget
from bessemer.cluster.home import Home, door_of
from bessemer.cluster.sandbox import prefer_door
from bessemer.cluster.settings import BudgetSettings


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class BackendHost(Living):
    """A BackendService as an actor. Messages bring batches of calls, and wait for endings."""

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
        self._mailboxes = Mailboxes(self._service)
        self._line = LineServer(self.poll)
        self._metrics = HostMetrics(self._service, name)

    @reply
    async def line(self, payload: bytes) -> dict[str, str]:
        """Where `poll` is reached without Ray between."""
        return await self._line.where()

    async def poll(self, payload: bytes) -> bytes:
        """A Poll in, Endings out, as soon as there are any."""
        self._metrics.start()
        return await self._mailboxes.poll(payload)

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
