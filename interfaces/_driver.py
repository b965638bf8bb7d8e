"""A driver: starts a run on its host and watches it. The run does not depend on being watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bessemer.actors._hosts import lake_ref
from bessemer.actors._run_hosts import START_SECONDS, RunHosts
from bessemer.actors._wire import ask, encode
from bessemer.actors.run_host import RunSpec, Watched
from bessemer.cluster.errors import BessemerError, ClusterError, error_named
from bessemer.cluster.home import Home

Event = dict[str, Any]
OnEvent = Callable[[Event], None]
OnQuestion = Callable[[Event], Awaitable[str]]

POLL_SECONDS = 10.0
STOP_SECONDS = 90.0
"""How long a host may take to stop a run: what it accepted is being saved."""
LOST_SECONDS = 90.0
"""How long a restarted run host may take to reopen a run before the driver hands it over again."""


class Driver:
    """Starts, watches and cancels the runs of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._runs = RunHosts(home)
        self._lake = lake_ref(home)

    async def start(self, spec: RunSpec) -> None:
        """Hand a run to a host. Raises HostFull, and RunIsOpen, RunDiverged, LedgerCorrupted … as the ledger says."""
        await self._runs.start(spec)

    async def watch(self, spec: RunSpec, on_event: OnEvent, on_question: OnQuestion | None = None) -> dict[str, Any]:
        """Follow a run to its end; returns the outcome. Raises the error the run failed with.

        A question is put beside the watching, because a run may end while a person still thinks.
        """
        asking: set[asyncio.Task[None]] = set()

        def show(event: Event) -> None:
            on_event(event)
            if event["kind"] == "question" and on_question is not None:
                asking.add(asyncio.create_task(self._answer(spec.run, event, on_question)))

        try:
            return await self._follow(spec, show, asking)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _follow(self, spec: RunSpec, show: OnEvent, asking: set[asyncio.Task[None]]) -> dict[str, Any]:
        after, lost_since = 0, 0.0
        while True:
            for task in [task for task in asking if task.done()]:
                asking.discard(task)
                task.result()
            seen = await self._seen(spec.run, after, POLL_SECONDS)
            if not seen.known:
                lost_since = lost_since or time.monotonic()
                after = 0
                await self._take_up_again(spec, lost_since)
                continue
            lost_since = 0.0
            after = min(after, seen.next) if seen.next < after else seen.next
            for event in seen.events:
                show(event)
            if seen.outcome is not None:
                return seen.outcome
            if seen.error is not None:
                raise error_named(seen.error["error"], seen.error["message"], seen.error["facts"])

    async def close(self) -> None:
        """Close what is open to the hosts. For drivers that end before their event loop does."""
        await self._runs.close()

    async def cancel(self, run: str) -> bool:
        """Stop a run cleanly; False where its host does not hold it."""
        host = await self._runs.holder(run) or await self._runs.any_host()
        return bool(await ask(host, "cancel", encode({"run": run}), within=STOP_SECONDS))

    async def holds(self, run: str) -> bool:
        """Whether the run host has the run in hand, or remembers how it ended."""
        return (await self._seen(run, 0, 0.0)).known

    async def stop(self, run: str) -> bool:
        """Let a run end at its next step boundary; False where its host does not hold it."""
        host = await self._runs.holder(run)
        return host is not None and bool(await ask(host, "stop", encode({"run": run}), within=STOP_SECONDS))

    async def flush(self, within: float = 60.0) -> str:
        """Wait until the lake holds every row so far; returns a problem to tell of, or nothing."""
        try:
            await ask(self._lake, "flush", encode({}), within=within)
        except BessemerError as error:
            return f"the lake is behind ({error.message}); rows wait in the ledger and follow with the next run"
        return ""

    async def _answer(self, run: str, event: Event, on_question: OnQuestion) -> None:
        answer = await on_question(event)
        message = encode({"run": run, "question": event["question"], "answer": answer})
        if (host := await self._runs.holder(run)) is not None:
            await ask(host, "answer", message, within=START_SECONDS)

    async def _seen(self, run: str, after: int, wait: float) -> Watched:
        host = await self._runs.holder(run)
        if host is None:
            return Watched(known=False)
        message = encode({"run": run, "after": after, "wait": wait})
        seen = Watched.model_validate(await ask(host, "watch", message, within=START_SECONDS))
        if not seen.known:
            self._runs.forget(run)
        return seen

    async def _take_up_again(self, spec: RunSpec, lost_since: float) -> None:
        if time.monotonic() - lost_since > LOST_SECONDS:
            raise ClusterError(f"run {spec.run} is not held by any host; go on with `bessemer run resume {spec.run}`")
        await asyncio.sleep(0.5)
        await self.start(spec)
