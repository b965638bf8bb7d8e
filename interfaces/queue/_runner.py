"""Running a queue: claim what is next, hand it to a run host, watch it to its end, write down how it ended.

| object | role | lifetime |
|---|---|---|
| `Runner` | the loop; holds the queue's lease | one `bessemer queue run` |
| `Hand` | one claimed task and its run | from the claim until the ledger knows how it was left |
| `Boundary` | why nothing more may begin, if so | the loop |

Nothing here is remembered outside the ledger: a runner that is killed is followed by another, which is given the tasks
that were running and goes on with their runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from bessemer.cluster.errors import BessemerError, Fenced, HostFull, InfrastructureError
from bessemer.cluster.home import Home
from bessemer.cluster.identity import Owner
from bessemer.cluster.ledger import (
    ClaimedTask,
    ClaimTasks,
    CloseQueue,
    LeaveTask,
    LedgerClient,
    OpenQueue,
    RenewQueue,
)
from bessemer.cluster.settings import Settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._prepare import remember_plan
from bessemer.interfaces.queue._endings import FULL_PAUSE, Left, left_by_error, left_by_outcome
from bessemer.interfaces.queue._spec import home_for, spec_of
from bessemer.interfaces.queue._stop import StopFile
from bessemer.pipelines.refine import RefineOutcome

LOOK_SECONDS = 0.5
"""How often the loop looks for a reason to stop while nothing else happens."""
RENEW_SECONDS = 2.0

Why = Literal["", "empty", "stopped", "interrupted", "until", "budget"]


class Tell(Protocol):
    """Whoever shows or records what happens."""

    def __call__(self, event: str, /, **facts: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """What a person asked of this run of the queue."""

    parallel: int
    until: datetime | None = None
    cap: int | None = None
    """Cap of the queue in micro-dollars, as the ledger has it."""


class QueueEnd(NamedTuple):
    """How a run of the queue ended."""

    why: Why
    ended: Counter[str]
    """Tasks that ended under this runner, by state."""
    infrastructure: int
    """Those of them that failed for reasons of the machine."""
    waiting: int

    @property
    def exit_code(self) -> int:
        """0 all done, 1 a verdict failed, 3 a person must decide or time ran out, 4 budget, 5 infrastructure, 130."""
        if self.why in ("stopped", "interrupted"):
            return 130
        if self.why == "budget":
            return 4
        if self.infrastructure:
            return 5
        if self.ended["blocked"] or (self.why == "until" and self.waiting):
            return 3
        return 1 if self.ended["failed"] else 0


@dataclass
class Hand:
    """A claimed task whose run is started, watched or about to be."""

    task: ClaimedTask
    driver: Driver
    work: asyncio.Task[None] | None = None


@dataclass
class Boundary:
    """Why nothing more may begin."""

    why: Why = ""
    stop_by: float = 0.0
    """`time.monotonic()` at which runs that were asked to stop are cancelled; 0 where they go on to their end."""
    leave_now: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, why: Why, seconds: float = 0.0) -> bool:
        """True for the first reason, which stays; one that ends runs comes after one that lets them go on."""
        if self.why and (self.stop_by or not seconds):
            return False
        self.why = why
        self.stop_by = time.monotonic() + seconds if seconds else 0.0
        return True


class Runner:
    """Runs one queue until it is empty or a boundary is reached."""

    def __init__(
        self,
        queue: str,
        home: Home,
        settings: Settings,
        driver: Driver,
        ledger: LedgerClient,
        owner: Owner,
        options: RunnerOptions,
        tell: Tell,
    ) -> None:
        self._queue, self._home, self._settings = queue, home, settings
        self._driver, self._ledger, self._owner = driver, ledger, owner
        self._options, self._tell = options, tell
        self._stop_file = StopFile(home, queue)
        self._boundary = Boundary()
        self._hands: dict[str, Hand] = {}
        self._recorders: dict[str, Driver] = {}
        self._epoch = 0
        self._parallel = options.parallel
        self._waiting = 0
        self._ended: Counter[str] = Counter()
        self._infrastructure = 0
        self._broken: BessemerError | None = None

    def interrupt(self) -> None:
        """Ctrl-C: the first asks runs to stop at their next boundary, the second cancels them."""
        if self._boundary.set("interrupted", self._settings.queue.stop_seconds):
            self._tell("stopping", why="interrupted")
        else:
            self._boundary.leave_now.set()

    async def run(self, *, dead: str = "") -> QueueEnd:
        """Run the queue; `dead` is a runner before us that is known not to live.

        Raises QueueIsOpen where another process runs it, Fenced where one took it over.
        """
        opened = await self._ledger.open_queue(OpenQueue(queue=self._queue, owner=str(self._owner), dead=dead))
        self._epoch = opened.epoch
        lease = asyncio.create_task(self._keep_lease(min(RENEW_SECONDS, opened.lease_seconds / 3)))
        try:
            await self._loop()
        finally:
            lease.cancel()
            for hand in self._hands.values():
                if hand.work is not None:
                    hand.work.cancel()
            await asyncio.gather(lease, return_exceptions=True)
        if self._broken is not None:
            raise self._broken
        await self._ledger.close_queue(CloseQueue(queue=self._queue, epoch=self._epoch))
        return QueueEnd(self._boundary.why, self._ended, self._infrastructure, self._waiting)

    async def _loop(self) -> None:
        while self._broken is None:
            self._look()
            if not self._boundary.why:
                await self._claim()
            await self._ask_to_stop()
            if not self._hands and (self._boundary.why or not self._waiting):
                self._boundary.set("empty")
                return
            await self._wait()

    async def _wait(self) -> None:
        works = [hand.work for hand in self._hands.values() if hand.work is not None]
        if not works:
            await asyncio.sleep(LOOK_SECONDS)
            return
        done, _ = await asyncio.wait(works, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()

    def _look(self) -> None:
        """See whether a boundary is reached."""
        if self._boundary.stop_by:
            return
        until = self._options.until
        if (path := self._stop_file.found()) is not None:
            self._stop("stopped", str(path))
        elif until is not None and time.time() >= until.timestamp():
            self._stop("until", until.isoformat())

    def _stop(self, why: Why, about: str) -> None:
        if self._boundary.set(why, self._settings.queue.stop_seconds):
            self._tell("stopping", why=why, about=about)

    async def _claim(self) -> None:
        room = self._parallel - len(self._hands)
        if room <= 0:
            return
        claim = ClaimTasks(queue=self._queue, epoch=self._epoch, limit=room, holding=tuple(self._hands))
        claimed = await self._guarded(self._ledger.claim_tasks(claim))
        if claimed is None:
            return
        self._waiting = claimed.waiting
        for task in claimed.tasks:
            hand = self._hands[task.task] = Hand(task, self._driver)
            hand.work = asyncio.create_task(self._carry(hand))

    async def _ask_to_stop(self) -> None:
        if not self._boundary.stop_by:
            return
        late = time.monotonic() > self._boundary.stop_by or self._boundary.leave_now.is_set()
        for hand in list(self._hands.values()):
            # A host that died and came back knows nothing of what was asked before, so it is asked each time.
            asked = hand.driver.cancel if late else hand.driver.stop
            with contextlib.suppress(BessemerError):
                await asked(hand.task.run)

    async def _carry(self, hand: Hand) -> None:
        """One task from its claim until the ledger knows how it was left."""
        alone = len(self._hands) == 1 and self._parallel == 1
        left = await self._left(hand)
        if left.shared == "budget":
            self._tighten(left, alone)
        await self._guarded(self._ledger.leave_task(_leaving(self._queue, self._epoch, hand.task.task, left)))
        del self._hands[hand.task.task]
        if self._broken is not None:
            return
        if left.state == "queued":
            self._waiting += 1
        else:
            self._ended[left.state] += 1
            self._infrastructure += int(left.infrastructure)
        about = {"state": left.state, "reason": left.reason, **left.result}
        self._tell("task_ended", task=hand.task.task, run=hand.task.run, title=hand.task.title, **about)

    async def _left(self, hand: Hand) -> Left:
        task = hand.task
        try:
            spec = spec_of(task, self._queue, self._settings, self._home, self._options.cap)
            remember_plan(self._home, spec)
            hand.driver = self._driver_for(task)
            self._tell("task_started", task=task.task, run=task.run, title=task.title, tries=task.tries)
            await hand.driver.start(spec)
            outcome = await hand.driver.watch(spec, self._shown(task))
            return left_by_outcome(RefineOutcome.model_validate(outcome), stopping=self._stopping)
        except HostFull as error:
            return Left("queued", error.message, {}, again_after=FULL_PAUSE, counts=False)
        except BessemerError as error:
            return left_by_error(error, task.tries, self._settings.queue.tries, stopping=self._stopping)
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            return left_by_error(InfrastructureError(text), task.tries, self._settings.queue.tries)

    def _driver_for(self, task: ClaimedTask) -> Driver:
        home = home_for(task, self._settings, self._home)
        if home == self._home:
            return self._driver
        return self._recorders.setdefault(home.host_namespace, Driver(home))

    @property
    def _stopping(self) -> bool:
        return bool(self._boundary.stop_by)

    def _shown(self, task: ClaimedTask) -> Callable[[dict[str, Any]], None]:
        return lambda event: self._tell("run_event", task=task.task, run=task.run, inner=event)

    def _tighten(self, left: Left, alone: bool) -> None:
        """A cap that all share refused a call. What others hold in reserve may come back, so the last word is one's
        that ran alone."""
        self._parallel = 1
        if alone and self._boundary.set("budget"):
            self._tell("stopping", why="budget", about=left.reason)

    async def _keep_lease(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            renewed = await self._guarded(
                self._ledger.renew_queue(RenewQueue(queue=self._queue, owner=str(self._owner), epoch=self._epoch))
            )
            if renewed is not None and renewed.stopped:
                self._stop("stopped", f"bessemer queue stop --queue {self._queue}")

    async def _guarded(self, asked: Any) -> Any:
        """The ledger's answer; None once another process runs the queue, or the ledger is gone for good."""
        try:
            return await asked
        except (Fenced, InfrastructureError) as error:
            self._broken = self._broken or error
            return None


def _leaving(queue: str, epoch: int, task: str, left: Left) -> LeaveTask:
    return LeaveTask(
        queue=queue,
        epoch=epoch,
        task=task,
        state=left.state,
        reason=left.reason,
        result=left.result,
        degraded=left.degraded,
        again_after=left.again_after,
        counts=left.counts,
    )
