"""Batches: what is in them, how far they are, and how they end. Time moves them whenever somebody looks."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from bessemer.interfaces.simulator._answers import Answer
from bessemer.interfaces.simulator._asked import Asked, Vendor
from bessemer.interfaces.simulator._desk import Desk, Failed, Served

State = Literal["pending", "succeeded", "errored", "canceled", "expired"]
GRACE_SHARE, GRACE_MOST = 0.1, 0.5
"""Cancelling takes this share of a batch's time, and at most so many seconds."""
TURN = 100
"""Answers made before others get their turn."""


@dataclass(slots=True)
class Item:
    """One request of a batch."""

    key: str
    asked: Asked | None
    problem: Failed | None = None
    """Why the request cannot be read."""
    added: float = 0.0
    share: float = 1.0
    """0 to 1: when in the batch's time it is done."""
    state: State = "pending"
    served: Served | None = None
    finished: float = 0.0

    @property
    def answer(self) -> Answer:
        assert self.served is not None and isinstance(self.served.reply, Answer)
        return self.served.reply

    @property
    def failure(self) -> Failed:
        reply = self.served.reply if self.served is not None else self.problem
        assert isinstance(reply, Failed)
        return reply


@dataclass(slots=True)
class Job:
    """One batch."""

    id: str
    vendor: Vendor
    items: list[Item]
    whole: bool = False
    """Whether it gives all its results at its end, or none."""
    meta: dict[str, Any] = field(default_factory=dict)
    created: float = field(default_factory=time.monotonic)
    created_at: float = field(default_factory=time.time)
    cancelled: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add(self, items: Sequence[Item]) -> None:
        """Take more requests; they share the time from now on evenly."""
        now = time.monotonic()
        for number, item in enumerate(items, start=1):
            item.added = now
            item.share = 1.0 if self.whole else number / len(items)
        self.items.extend(items)

    def counts(self) -> Counter[State]:
        return Counter(item.state for item in self.items)

    def wall(self, moment: float) -> float:
        """Unix time of a monotonic moment."""
        return self.created_at + moment - self.created

    def stamp(self, moment: float) -> str:
        """A monotonic moment as RFC 3339."""
        return datetime.fromtimestamp(self.wall(moment), UTC).isoformat().replace("+00:00", "Z")

    @property
    def finished(self) -> float:
        """When the last of it was done; monotonic."""
        return max((item.finished for item in self.items), default=self.created)


class Jobs:
    """All batches of one vendor, newest last."""

    def __init__(self, desk: Desk, vendor: Vendor) -> None:
        self.desk = desk
        self.vendor = vendor
        self.all: dict[str, Job] = {}
        desk.refreshers.append(self.refresh)

    async def refresh(self) -> None:
        """Look at every batch."""
        for job in list(self.all.values()):
            await self.look(job)

    def open(self, identity: str, items: Sequence[Item], *, whole: bool = False, **meta: Any) -> Job:
        job = Job(identity, self.vendor, [], whole, meta)
        job.add(items)
        self.all[identity] = job
        return job

    async def look(self, job: Job) -> Literal["running", "cancelling", "cancelled", "expired", "done"]:
        """Let the batch come as far as it should be by now, and say where it stands. Look before cancelling."""
        async with job.lock:
            now = time.monotonic()
            expires = job.created + self.desk.settings.batch_expires
            stop = min(expires, job.cancelled if job.cancelled is not None else expires)
            if job.cancelled is None:
                await self._work(job, min(now, stop))
            if now < stop or not job.counts()["pending"]:
                return self._ended_or_not(job, now)
            if job.cancelled is not None and job.cancelled <= expires:
                if now < job.cancelled + self._grace():
                    return "cancelling"
                _close(job, "canceled", now)
            else:
                _close(job, "expired", expires)
            return self._ended_or_not(job, now)

    def page(self, after: str, limit: int) -> tuple[list[Job], bool]:
        """Up to `limit` batches, newest first, older than the one named `after`; and whether there are more."""
        newest = list(reversed(self.all.values()))
        start = next((index + 1 for index, job in enumerate(newest) if job.id == after), 0)
        return newest[start : start + limit], start + limit < len(newest)

    def _ended_or_not(self, job: Job, now: float) -> Literal["running", "cancelling", "cancelled", "expired", "done"]:
        counts = job.counts()
        if counts["expired"]:
            return "expired"
        if counts["canceled"] or (job.cancelled is not None and not job.items):
            return "cancelled"
        return "running" if counts["pending"] or not job.items else "done"

    async def _work(self, job: Job, until: float) -> None:
        seconds = self.desk.settings.batch_seconds
        done = 0
        for item in job.items:
            due = item.added + seconds * item.share
            if item.state != "pending" or due > until:
                continue
            if item.asked is not None:
                item.served = self.desk.work(item.asked)
            failed = item.served is None or isinstance(item.served.reply, Failed)
            item.state = "errored" if failed else "succeeded"
            item.finished = due
            done += 1
            if done % TURN == 0:
                await asyncio.sleep(0)

    def _grace(self) -> float:
        return min(GRACE_MOST, self.desk.settings.batch_seconds * GRACE_SHARE)


def _close(job: Job, state: State, moment: float) -> None:
    for item in job.items:
        if item.state == "pending":
            item.state = state
            item.finished = moment


def shuffled(job: Job) -> list[Item]:
    """The items in an order of the batch's own, because no vendor promises the one in which they were sent."""
    items = list(job.items)
    random.Random(job.id).shuffle(items)  # noqa: S311
    return items
