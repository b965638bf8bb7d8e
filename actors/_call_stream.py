"""A batch of calls in, their endings out as they come: what a backend host does with one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from bessemer.actors._calls import CallEnvelope, Ending, endings_json, envelopes_json
from bessemer.actors._journal import Caller
from bessemer.cluster.errors import BessemerError, Cancelled, InfrastructureError

COMPANY_SECONDS = 0.01
"""How long an ending waits for others to travel with: a message costs both hosts as much CPU as a call's JSON."""


class CallStream:
    """Makes the calls of every message through one service, and can stop each of them by its key."""

    def __init__(self, service: Caller) -> None:
        self._service = service
        self._tasks: dict[str, asyncio.Task[Ending]] = {}

    async def submit(self, payload: bytes) -> AsyncGenerator[bytes, None]:
        """A JSON list of CallEnvelopes in; JSON lists of Endings out, those of a moment in one message."""
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
                await asyncio.sleep(COMPANY_SECONDS if left > 1 else 0)
                while not finished.empty():
                    group.append(finished.get_nowait())
                left -= len(group)
                yield endings_json.dump_json(group)
        finally:
            for task, envelope in zip(tasks, envelopes, strict=True):
                task.cancel()
                if self._tasks.get(str(envelope.key)) is task:
                    del self._tasks[str(envelope.key)]

    def cancel(self, keys: list[str]) -> int:
        """Stop calls by their keys as text; returns how many were under way."""
        under_way = [task for key in keys if (task := self._tasks.get(key)) is not None and not task.done()]
        for task in under_way:
            task.cancel()
        return len(under_way)

    async def _one(self, number: int, envelope: CallEnvelope) -> Ending:
        work = asyncio.ensure_future(self._service.call(envelope))
        try:
            return Ending.of(number, await work)
        except BessemerError as error:
            return Ending.failed(number, error)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait([work])
            return Ending.failed(number, Cancelled(f"call {envelope.key} was cancelled"))
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            message = f"call {envelope.key} failed in its backend host: {text}"
            return Ending.failed(number, InfrastructureError(message))
