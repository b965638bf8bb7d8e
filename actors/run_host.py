"""Where runs live: each a pipeline coroutine under a lease. Drivers only watch."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict

from bessemer.actors._hosts import keeper_ref, ledger_client, trace_as
from bessemer.actors._journal import OVERNIGHT_SECONDS
from bessemer.actors._line import LineServer
from bessemer.actors._parked import waits_only_for_batches
from bessemer.actors._people import People
from bessemer.actors._placement import node_name, whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, ask, decode, encode, reply
from bessemer.actors.apart import Carrier
from bessemer.actors.batch.base import left_memory
from bessemer.actors.crew import Crew
from bessemer.cluster import telemetry
from bessemer.cluster.backend_settings import BatchSettings
from bessemer.cluster.collector import calm_collector
from bessemer.cluster.errors import (
    BessemerError,
    Cancelled,
    HostFull,
    InfrastructureError,
    LedgerRefusal,
    UsageError,
)
from bessemer.cluster.home import Home
from bessemer.cluster.identity import read_owner, this_process
from bessemer.cluster.ledger.operations import Recall, RunStatus
from bessemer.cluster.run import Run, lease, open_run
from bessemer.cluster.settings import ClusterSettings

_log = logging.getLogger(__name__)

KEPT_ENDED = 64
"""Ended runs that stay in memory for their watchers; an older one is replayed from the ledger if somebody asks."""
OVERNIGHT_STEP = OVERNIGHT_SECONDS + 86_400.0
STEP_SECONDS = 3600.0
"""How long a run that is ending waits for branches that still work."""


class RunSpec(BaseModel):
    """What a run is: enough to start it, and to start it again after a crash."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    pipeline: str
    """Module under `bessemer.pipelines` that carries a `PIPELINE`."""
    pins: dict[str, Any]
    """`plan` for the pipeline, and versions; the ledger refuses to open the run under others."""
    caps: dict[str, int | None]


class Watched(BaseModel):
    """What a watcher learns: events since it last asked, and the end once there is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    known: bool
    events: tuple[dict[str, Any], ...] = ()
    next: int = 0
    outcome: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _Held:
    """One run in this host."""

    def __init__(self, spec: RunSpec, people: People) -> None:
        self.spec = spec
        self.people = people
        self.task: asyncio.Task[None] | None = None
        self.outcome: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.run: Run | None = None
        self.opening = asyncio.Event()
        """Set once it is open, or could not be opened."""
        self.cancelled = False
        self.left = False
        """Whether it left memory, to be started again by the collector of its batches."""

    @property
    def under_way(self) -> bool:
        """A run that is being opened counts, so that starts side by side do not overfill a host."""
        return self.task is None or not self.task.done()


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class RunHost(Living):
    """Hosts some runs of one home; after a restart it reopens those whose lease it held."""

    def __init__(self, home: bytes) -> None:
        end_with_raylet()
        calm_collector()
        self._home = Home.model_validate_json(home)
        trace_as(self._home, "run")
        context = ray.get_runtime_context()
        self._owner = this_process(f"run/{context.get_actor_id()}")
        self._ledger = ledger_client(self._home, self)
        self._crew = Crew(self._home)
        self._settings = ClusterSettings.model_validate(self._home.settings.get("cluster", {}))
        self._room = self._settings.runs_per_host
        self._held: dict[str, _Held] = {}
        self._recovered: asyncio.Task[None] | None = None
        self._restarted = bool(context.was_current_actor_reconstructed)
        self._line = LineServer(self.receive)
        told = (self.start, self.room, self.watch, self.answer, self.cancel, self.stop, self.describe)
        self._told = {method.__name__.encode(): method for method in told}
        if self._restarted:
            # Nobody may be watching a detached run, so the restarted host wakes itself.
            ray.get_actor(context.get_actor_name(), namespace=self._home.host_namespace).describe.remote(b"{}")

    @reply
    async def line(self, payload: bytes) -> dict[str, str]:
        """Where `receive` is reached without Ray between."""
        return await self._line.where()

    async def receive(self, message: bytes) -> bytes:
        """A method's name, a line break, and its payload in; that method's answer out."""
        name, _, payload = message.partition(b"\n")
        answered: bytes = await self._told.get(name, self._not_known)(payload)
        return answered

    @reply
    async def _not_known(self, payload: bytes) -> None:
        raise UsageError("a run host cannot be told that")

    def away(self, why: str) -> None:
        """Tell whoever watches that work waits for the ledger."""
        self._tell_all(f"waiting: {why}")

    def back(self, seconds: float) -> None:
        """Tell whoever watches that work goes on."""
        self._tell_all(f"the ledger answers again after {seconds:.0f} s; work goes on")

    def _tell_all(self, text: str) -> None:
        for held in self._held.values():
            if held.task is not None and not held.task.done():
                held.people.tell("notice", text=text)

    @reply
    async def start(self, payload: bytes) -> str:
        """Start or resume the run of a RunSpec; returns its id once it is held here."""
        await self._recover()
        spec = RunSpec.model_validate_json(payload)
        held = self._held.get(spec.run)
        if held is not None and held.under_way:
            # Whoever lost the way to us says it again, while it is still being opened.
            await held.opening.wait()
            if self._held.get(spec.run) is held:
                return spec.run
        if len(self._under_way()) >= self._room:
            raise HostFull(f"{self._room} runs are under way in one host on {node_name()}; wait for one to end")
        await self._hold(spec)
        return spec.run

    @reply
    async def room(self, payload: bytes) -> dict[str, Any]:
        """Which runs are under way here, and which of those that are asked for are remembered."""
        await self._recover()
        return {"under_way": self._under_way(), "known": [run for run in decode(payload)["runs"] if run in self._held]}

    @reply
    async def watch(self, payload: bytes) -> dict[str, Any]:
        """Events after `after`, waiting up to `wait` seconds for the next; answers a Watched."""
        await self._recover()
        message = decode(payload)
        held = self._held.get(message["run"])
        if held is None:
            return Watched(known=False).model_dump()
        ended = held.task is not None and held.task.done()
        events, upto = await held.people.since(message["after"], 0.0 if ended and not held.left else message["wait"])
        return Watched(known=True, events=tuple(events), next=upto, outcome=held.outcome, error=held.error).model_dump()

    @reply
    async def answer(self, payload: bytes) -> bool:
        """A person's answer to a question that a run asked."""
        message = decode(payload)
        held = self._held.get(message["run"])
        return held is not None and held.people.answered(message["question"], message["answer"])

    @reply
    async def cancel(self, payload: bytes) -> bool:
        """Stop a run cleanly: what is accepted so far is saved. False where this host does not hold it."""
        run = decode(payload)["run"]
        held = self._held.get(run)
        if held is None or held.task is None:
            return await self._keep_parked_away(run)
        if held.task.done():
            return held.left and await self._keep_away(held)
        if not held.cancelled:
            # A second time would break off the saving.
            held.cancelled = True
            held.task.cancel()
        await asyncio.wait([held.task], timeout=60)
        return True

    @reply
    async def stop(self, payload: bytes) -> bool:
        """Let a run end at its next step boundary, so that nothing in flight is lost. False where it is not held."""
        held = self._held.get(decode(payload)["run"])
        if held is None or held.task is None:
            return False
        if held.task.done():
            return held.left and await self._keep_away(held)
        if held.run is not None:
            held.run.stop()
        return True

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        await self._recover()
        return {"hosts": self._under_way(), "room": self._room, "lines": self._line.lines, **whereabouts()}

    def _under_way(self) -> list[str]:
        return [run for run, held in self._held.items() if held.under_way]

    async def _recover(self) -> None:
        done = self._recovered is not None and self._recovered.done()
        if self._recovered is None or (done and self._recovered.exception() is not None):
            self._recovered = asyncio.create_task(self._reopen_held() if self._restarted else asyncio.sleep(0))
        await asyncio.shield(self._recovered)

    async def _reopen_held(self) -> None:
        for row in await ask(keeper_ref(self._home), "open_runs", encode({}), within=60):
            owner = read_owner(row["owner"])
            if owner is not None and owner.role == self._owner.role and owner.is_dead:
                try:
                    await self._hold(RunSpec(**{key: row[key] for key in ("run", "pipeline", "pins", "caps")}))
                except LedgerRefusal as error:
                    # Somebody was quicker, or its code is another now: the others go on all the same.
                    _log.warning("run %s was not reopened: %s", row["run"], error.message)

    async def _hold(self, spec: RunSpec) -> None:
        self._forget_ended()
        held = _Held(spec, People(self._home.run_directory(spec.run)))
        self._held[spec.run] = held
        try:
            run, status = await self._open(spec)
        except BaseException:
            # What was never opened must not look like a run to a watcher, who would wait for its end.
            if self._held.get(spec.run) is held:
                del self._held[spec.run]
            raise
        finally:
            held.opening.set()
        held.run = run
        held.people.tell("opened", epoch=run.epoch, before=status)
        held.task = asyncio.create_task(self._drive(held, run))

    def _forget_ended(self) -> None:
        ended = [run for run, held in self._held.items() if held.task and held.task.done() and not held.left]
        for run in ended[:-KEPT_ENDED]:
            del self._held[run]

    async def _open(self, spec: RunSpec) -> tuple[Run, RunStatus]:
        run, status = await open_run(
            self._ledger,
            spec.run,
            pipeline=spec.pipeline,
            pins=spec.pins,
            owner=self._owner,
            directory=self._home.run_directory(spec.run),
            caps=spec.caps,
            urgency=spec.pins["plan"].get("urgency", "now"),
            priority=spec.pins["plan"].get("priority", 1.0),
        )
        run.step_seconds = self._settings.step_seconds + (OVERNIGHT_STEP if run.urgency == "overnight" else 0.0)
        return run, status

    async def _drive(self, held: _Held, run: Run) -> None:
        try:
            pipeline = importlib.import_module(f"bessemer.pipelines.{held.spec.pipeline}").PIPELINE
            plan = pipeline.plan.model_validate(held.spec.pins["plan"])
            async with lease(run, self._owner), self._leaving(held, run):
                about = {"bessemer.run": run.id, "gen_ai.conversation.id": run.id, "bessemer.epoch": run.epoch}
                with telemetry.span(f"run {held.spec.pipeline}", about) as watched:
                    outcome = await pipeline.run(run, self._crew.for_run(run, held.people), plan)
                    watched.set({"bessemer.status": outcome.status})
                await run.settle_down(STEP_SECONDS)
            if held.left:
                raise asyncio.CancelledError
            await run.close(outcome.status, outcome.record().model_copy(update=_about(held.spec, run)).to_lake())
            held.outcome = outcome.model_dump(mode="json")
            await Carrier(self._home).forget(run.id)
        except asyncio.CancelledError:
            await self._give_back(run, "interrupted")
            if held.left:
                held.people.tell("left_memory", text="waiting for batches")
            else:
                # A pipeline that makes no outcome of being stopped has none for its watcher, who must not wait on.
                text = f"run {run.id} was stopped; go on with `bessemer run resume {run.id}`"
                held.error = {"error": Cancelled.__name__, "message": text, "facts": {}}
        except BessemerError as error:
            await self._give_back(run, "failed" if isinstance(error, UsageError) else "interrupted")
            held.error = {"error": type(error).__name__, "message": error.message, "facts": error.facts}
        except Exception as error:
            await self._give_back(run, "interrupted")
            text = " ".join(f"{type(error).__name__}: {error}".split())
            held.error = {"error": InfrastructureError.__name__, "message": f"run {run.id} failed: {text}", "facts": {}}
            held.people.crashed(error)
        finally:
            held.people.tell("ended")

    async def _keep_away(self, held: _Held) -> bool:
        """Stop a run that left memory: opened and closed once more, its mark is of an older epoch."""
        run, _ = await self._open(held.spec)
        await run.close("interrupted")
        message = f"run {run.id} was stopped; what is in batches already is paid for and kept"
        held.left, held.error = False, {"error": Cancelled.__name__, "message": message, "facts": {}}
        held.people.tell("ended")
        return True

    async def _keep_parked_away(self, run: str) -> bool:
        """Stop a run that left the memory of an earlier incarnation of this host. False where it waits for nothing."""
        row = await ask(keeper_ref(self._home), "run_spec", encode({"run": run}), within=60)
        left = await self._ledger.recall(Recall(run=run, path="", name=left_memory(row["epoch"])))
        if row["status"] != "interrupted" or not left.found:
            return False
        spec = RunSpec(run=run, pipeline=row["pipeline"], pins=row["pins"], caps=row["caps"])
        return await self._keep_away(_Held(spec, People(self._home.run_directory(run))))

    @contextlib.asynccontextmanager
    async def _leaving(self, held: _Held, run: Run) -> AsyncIterator[None]:
        """While the block runs, end it once it has only waited for batches long enough."""
        if run.urgency == "now":
            yield
            return
        block = asyncio.current_task()
        assert block is not None
        seconds = BatchSettings.model_validate(self._home.settings.get("batch", {})).leave_seconds
        watcher = asyncio.create_task(self._leave(held, run, block, seconds))
        try:
            yield
        finally:
            watcher.cancel()

    async def _leave(self, held: _Held, run: Run, block: asyncio.Task[Any], seconds: float) -> None:
        await waits_only_for_batches(run, keeper_ref(self._home), seconds)
        await run.observe(left_memory(run.epoch), lambda: True)
        held.left = True
        block.cancel()

    async def _give_back(self, run: Run, status: RunStatus) -> None:
        """Free a run that broke off, so that it can be resumed at once; one that was taken from us is left alone."""
        with contextlib.suppress(BessemerError):
            await run.close(status)


def _about(spec: RunSpec, run: Run) -> dict[str, Any]:
    """What a run's row says of how it was started."""
    return {
        "version": str(spec.pins.get("version", "")),
        "code_hash": str(spec.pins.get("code", "")),
        "budget": spec.caps.get(f"run:{spec.run}"),
        "continued": run.epoch > 1,
    }
