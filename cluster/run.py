"""The run context: what a pipeline may do that must come out the same when it is called again.

| object | role | lifetime |
|---|---|---|
| `Run` | one execution of a pipeline under one epoch | from `open_run` until it is closed or fenced |
| `Step` | one memoised piece of it; the calls inside are numbered | while the piece is being done |
| `Ticket` | what a step needs to be worked on in another process | as the step |

Resuming is calling the pipeline again: done steps and stored observations answer from the ledger at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from bessemer.cluster import telemetry
from bessemer.cluster._behind import WrittenBehind
from bessemer.cluster.errors import (
    BessemerError,
    Cancelled,
    Fenced,
    JournalDiverged,
    LedgerUnavailable,
    RunIsOpen,
    StepOverdue,
)
from bessemer.cluster.identity import Owner, read_owner
from bessemer.cluster.ledger import (
    BeginStep,
    CloseRun,
    FinishStep,
    LakeRecord,
    LedgerClient,
    Observe,
    OpenRun,
    Recall,
    Record,
    Renew,
    RunStatus,
)

M = TypeVar("M", bound=BaseModel)
Urgency = Literal["now", "overnight"]


class Ticket(BaseModel):
    """The right to work on one step of one run under one epoch; travels to hosts as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    path: str
    epoch: int
    scopes: tuple[str, ...]
    """The caps every call of the step counts against."""
    trace: str = ""
    """W3C traceparent of the step's span; decides nothing."""
    urgency: Urgency = "now"
    """`overnight` sends the step's calls through the vendors' batches."""
    priority: float = 1.0
    """Weight of the run where several wait for one model."""


class Step:
    """One step being worked on. Calls inside are sequential and numbered; whatever runs beside them is its own step."""

    def __init__(self, ticket: Ticket, ledger: LedgerClient) -> None:
        self.ticket = ticket
        self.path = ticket.path
        self._ledger = ledger
        self._rows: list[LakeRecord] = []

    async def observe(self, name: str, value: Any) -> Any:
        """Store `value` under `name` once. Returns what is stored, which on replay is the first value."""
        ticket = self.ticket
        stored = await self._ledger.observe(
            Observe(run=ticket.run, path=ticket.path, name=name, value=value, epoch=ticket.epoch)
        )
        return stored.value

    async def recall(self, name: str) -> Any | None:
        """What is stored under `name`, or None."""
        found = await self._ledger.recall(Recall(run=self.ticket.run, path=self.path, name=name))
        return found.value if found.found else None

    def record(self, *rows: LakeRecord) -> None:
        """Rows that reach the lake exactly once, together with the step's result."""
        self._rows.extend(rows)

    @property
    def rows(self) -> tuple[LakeRecord, ...]:
        return tuple(self._rows)


class _Execution:
    """What all parts of a run in this process share."""

    def __init__(self, ledger: LedgerClient, first: bool) -> None:
        self.behind = WrittenBehind(ledger)
        self.opened: set[str] = set()
        self.under_way: set[str] = set()
        self.let_go: set[str] = set()
        """Of these, what nobody waits for."""
        self.idle = asyncio.Event()
        self.idle.set()
        self.stopping = False
        self.first = first
        """Whether nothing of the run can be in the ledger but what this execution put there."""
        self.observed: set[str] = set()

    def begin(self, path: str) -> None:
        self.under_way.add(path)
        self.idle.clear()

    def end(self, path: str) -> None:
        self.under_way.discard(path)
        self.look()

    def look(self) -> None:
        """Tell those who wait for the end of every step, if that is now."""
        self.let_go &= self.under_way
        if self.under_way == self.let_go:
            self.idle.set()


class Run:
    """A run that this process holds. Steps and observations are the only memory a pipeline may rely on."""

    def __init__(
        self,
        run_id: str,
        epoch: int,
        directory: Path,
        ledger: LedgerClient,
        scopes: tuple[str, ...],
        urgency: Urgency = "now",
        priority: float = 1.0,
        *,
        first: bool = False,
    ) -> None:
        """`first` says that no other process ever held the run: then the ledger is not asked what it knows of it."""
        self.id = run_id
        self.epoch = epoch
        self.directory = directory
        self.ledger = ledger
        self.scopes = scopes
        self.urgency = urgency
        self.priority = priority
        self.step_seconds: float | None = None
        """How long one step may take; None for ever. A last resort: every wait inside has a deadline of its own."""
        self.lease_seconds = 15.0
        """For how long the ledger holds the run for its owner after each renewal."""
        self.prefix = ""
        """What comes before every path and name of this part of the run; empty for the whole."""
        self._execution = _Execution(ledger, first)
        self._elapsed = 0.0
        self._since = time.monotonic()

    def within(self, name: str) -> Run:
        """A part of this run that is carried out like a run of its own.

        Its steps, observations and files stand under `name`, its clock starts now; ledger, caps and epoch are shared.
        """
        part = Run(self.id, self.epoch, self.directory / name, self.ledger, self.scopes, self.urgency, self.priority)
        part.prefix, part._execution = f"{self.prefix}{name}/", self._execution
        part.step_seconds = self.step_seconds
        part.directory.mkdir(parents=True, exist_ok=True)
        return part

    async def step(
        self, path: str, work: Callable[[Step], Awaitable[M]], *, result: type[M], derived: bool = False
    ) -> M:
        """Do `work` once and remember what it returned.

        Returns a validated `result`, live or replayed. It is durable then, unless it is `derived`: what follows from
        the outcomes of the step's calls alone is written a moment later, and at the latest before the run is closed,
        for a crash before that leads to the same result again.

        Raises JournalDiverged if the path was opened before in this execution: a branch that runs beside another needs
        a path of its own. Raises Cancelled once `stop` was called, unless the step is done, and StepOverdue after
        `step_seconds`.
        """
        path = self.prefix + path
        execution = self._execution
        if path in execution.opened:
            raise JournalDiverged(f"step {path!r} of run {self.id} was opened twice; give each branch its own path")
        execution.opened.add(path)
        if not execution.first:
            state = await self.ledger.begin_step(BeginStep(run=self.id, path=path, epoch=self.epoch))
            if state.done:
                return result.model_validate(state.result)
        if execution.stopping:
            raise Cancelled(f"run {self.id} was asked to stop before step {path!r}")
        execution.begin(path)
        try:
            with telemetry.span(f"step {path}", {"bessemer.run": self.id, "bessemer.step": path}):
                step = Step(self._ticket(path), self.ledger)
                made = await self._in_time(path, work(step))
            value = made.model_dump(mode="json")
            end = FinishStep(run=self.id, path=path, epoch=self.epoch, result=value, rows=step.rows)
            if derived:
                execution.behind.add(end)
            else:
                value = (await self.ledger.finish_step(end)).result
        finally:
            execution.end(path)
        return result.model_validate(value)

    async def _in_time(self, path: str, work: Awaitable[M]) -> M:
        limit = asyncio.timeout(self.step_seconds)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            raise StepOverdue(
                f"step {path!r} of run {self.id} did not end within {self.step_seconds:.0f} s "
                f"(cluster.step_seconds); go on with `bessemer run resume {self.id}`"
            ) from None

    def stop(self) -> None:
        """Begin no further step. Those under way go on to their end."""
        self._execution.stopping = True

    @property
    def under_way(self) -> set[str]:
        """Paths of the steps being worked on, in every part of the run."""
        return self._execution.under_way

    def let_go(self) -> None:
        """Wait no more for this part's steps under way: nobody needs them, and their cost is booked when they end."""
        self._execution.let_go |= {path for path in self.under_way if path.startswith(self.prefix)}
        self._execution.look()

    async def settle_down(self, seconds: float) -> None:
        """Wait until no step is under way: what a stopped run left running is paid for, and its result is kept."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._execution.idle.wait(), seconds)

    async def observe(self, name: str, read: Callable[[], Any]) -> Any:
        """Journal what is read from outside and steers the run. `read` is not called when the value is known."""
        name, execution = self.prefix + name, self._execution
        if not execution.first or name in execution.observed:
            found = await self.ledger.recall(Recall(run=self.id, path="", name=name))
            if found.found:
                return found.value
        value = read()
        if asyncio.iscoroutine(value):
            value = await value
        execution.observed.add(name)
        stored = await self.ledger.observe(Observe(run=self.id, path="", name=name, value=value, epoch=self.epoch))
        return stored.value

    async def elapsed(self, name: str) -> float:
        """Seconds this run has been worked on, interruptions left out; journalled under `name`."""
        now = self._elapsed + time.monotonic() - self._since
        stored = float(await self.observe(name, lambda: round(now, 3)))
        self._elapsed, self._since = max(stored, self._elapsed), time.monotonic()
        return stored

    def worked(self) -> float:
        """Seconds worked so far by the best knowledge of this process; steers nothing that is not observed."""
        return self._elapsed + time.monotonic() - self._since

    async def record(self, name: str, *rows: LakeRecord) -> None:
        """Rows that belong to no step, written once per `name`."""
        await self.ledger.record(Record(token=f"{self.id}|{self.prefix}{name}", rows=rows))

    async def close(self, status: RunStatus, *rows: LakeRecord) -> None:
        """End the run, or with `interrupted` free it for another process."""
        await self._execution.behind.all_written()
        await self.ledger.close_run(CloseRun(run=self.id, epoch=self.epoch, status=status, rows=rows))

    def _ticket(self, path: str) -> Ticket:
        trace = telemetry.parent_of_others()
        return Ticket(
            run=self.id,
            path=path,
            epoch=self.epoch,
            scopes=self.scopes,
            urgency=self.urgency,
            trace=trace,
            priority=self.priority,
        )


async def open_run(
    ledger: LedgerClient,
    run_id: str,
    *,
    pipeline: str,
    pins: dict[str, Any],
    owner: Owner,
    directory: Path,
    caps: Mapping[str, int | None],
    urgency: Urgency = "now",
    priority: float = 1.0,
) -> tuple[Run, RunStatus]:
    """Open a run for this process; returns it with the status it had before.

    Takes over at once from an owner that is provably dead on this machine. Raises RunIsOpen where another process
    holds the run, RunDiverged where the pins differ from those the run was started with.
    """
    message = OpenRun(
        run=run_id, pipeline=pipeline, pins=pins, owner=str(owner), token=uuid.uuid4().hex, caps=dict(caps)
    )
    try:
        opened = await ledger.open_run(message)
    except RunIsOpen as refusal:
        holder = read_owner(str(refusal.facts.get("owner", "")))
        if holder is None or not holder.is_dead:
            raise
        opened = await ledger.open_run(message.model_copy(update={"take_over": True}))
    scopes = tuple(sorted(caps))
    run = Run(run_id, opened.epoch, directory, ledger, scopes, urgency, priority, first=not opened.resumed)
    run.lease_seconds = opened.lease_seconds
    return run, opened.status


@contextlib.asynccontextmanager
async def lease(run: Run, owner: Owner) -> Any:
    """Keep the run's lease while the block runs; cancels the block when another process has taken the run."""
    block = asyncio.current_task()
    lost: list[BessemerError] = []

    async def keep() -> None:
        pause, now = run.lease_seconds / 3, asyncio.get_running_loop().time
        while True:
            # All runs of a host renew at the same moment, so that many renewals travel as one message.
            await asyncio.sleep(pause - now() % pause)
            try:
                await run.ledger.renew(Renew(run=run.id, owner=str(owner), epoch=run.epoch))
            except LedgerUnavailable:
                # Nobody else can take the run while the ledger is away either; the work decides how long to wait.
                continue
            except Fenced as refusal:
                lost.append(refusal)
                if block is not None:
                    block.cancel()
                return

    keeper = asyncio.create_task(keep())
    try:
        yield
    except asyncio.CancelledError:
        if lost:
            raise lost[0] from None
        raise
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
