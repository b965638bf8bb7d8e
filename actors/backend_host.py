"""Hosts one provider's SDK and models for every run on this home: the process in which paid requests happen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import ray
from dotenv import load_dotenv

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope, Ending, endings_json, envelopes_json
from bessemer.actors._hosts import ledger_client
from bessemer.actors._wire import decode, reply
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import BessemerError, Cancelled, InfrastructureError
from bessemer.cluster.home import Home


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0)
class BackendHost:
    """A BackendService as an actor. Messages are batches of calls; endings stream back as they come."""

    def __init__(self, home: bytes, name: str) -> None:
        """`name` is the actor's own, `backend/PROVIDER` or `backend/PROVIDER#N`: no other actor of this home has it."""
        made = Home.model_validate_json(home)
        # Keys may stand beside the project; what the environment says already wins.
        load_dotenv(Path(made.state_dir).parent / ".env", override=False)
        settings = BackendSettings.model_validate(made.settings.get("backends", {}))
        host = f"{made.host_namespace}/{name}"
        self._service = BackendService(ledger_client(made), settings=settings, host=host)
        self._tasks: dict[str, asyncio.Task[Ending]] = {}  # by key as text, so that a call can be cancelled

    async def submit(self, payload: bytes) -> AsyncGenerator[bytes, None]:
        """A JSON list of CallEnvelopes in; JSON lists of Endings out, those of one loop turn in one message."""
        envelopes = envelopes_json.validate_json(payload)
        finished: asyncio.Queue[Ending] = asyncio.Queue()
        tasks = [asyncio.create_task(self._one(number, envelope)) for number, envelope in enumerate(envelopes)]
        for task, envelope in zip(tasks, envelopes, strict=True):
            self._tasks[str(envelope.key)] = task
            task.add_done_callback(lambda done: finished.put_nowait(done.result()))
        left = len(tasks)
        try:
            while left:
                group = [await finished.get()]
                await asyncio.sleep(0)
                while not finished.empty():
                    group.append(finished.get_nowait())
                left -= len(group)
                yield endings_json.dump_json(group)
        finally:
            for task, envelope in zip(tasks, envelopes, strict=True):
                task.cancel()
                if self._tasks.get(str(envelope.key)) is task:
                    del self._tasks[str(envelope.key)]

    @reply
    async def cancel(self, payload: bytes) -> int:
        """Stop calls, by their keys as text; returns how many were under way."""
        stopped = 0
        for key in decode(payload):
            task = self._tasks.get(key)
            if task is not None and not task.done():
                task.cancel()
                stopped += 1
        return stopped

    @reply
    async def ping(self, payload: bytes) -> str:
        """The name of this incarnation."""
        return self._service.instance

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        """Hosted models, calls in flight, limits; never a key."""
        known = self._service.describe()
        return {"hosts": known["models"], "pid": os.getpid(), **known}

    async def _one(self, number: int, envelope: CallEnvelope) -> Ending:
        work = asyncio.ensure_future(self._service.call(envelope))
        key = str(envelope.key)
        try:
            return Ending.of(number, await work)
        except BessemerError as error:
            return Ending.failed(number, error)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait([work])
            return Ending.failed(number, Cancelled(f"call {key} was cancelled"))
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            return Ending.failed(number, InfrastructureError(f"call {key} failed in its backend host: {text[:400]}"))
