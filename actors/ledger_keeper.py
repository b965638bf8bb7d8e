"""The one writer of a ledger: groups what every host asks for into one durable transaction."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import ray

from bessemer.actors._line import LineServer
from bessemer.actors._placement import whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, decode, reply
from bessemer.cluster.errors import BessemerError, LedgerUnavailable
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import GroupCommit, KeeperLock, Ledger, Record
from bessemer.cluster.ledger.operations import answers_json, operations_json
from bessemer.cluster.records import EventRecord

T = TypeVar("T")

LOCK_WAIT_SECONDS = 30.0
"""A keeper that was killed frees its lock at once; one that is still ending needs a moment."""

SMALL = 16
"""Operations that a file takes in a moment. A server may be slow to answer, and others are heard meanwhile."""


class _Kept(NamedTuple):
    ledger: Ledger
    commit: GroupCommit


class _Away(NamedTuple):
    since: float
    why: str


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class LedgerKeeper(Living):
    """Hosts the ledger of one home. Messages are batches of operations; answers come after the commit."""

    def __init__(self, home: bytes) -> None:
        end_with_raylet()
        self._home = Home.model_validate_json(home)
        self._file = self._home.ledger_url.startswith("sqlite")
        self._opening = asyncio.Lock()
        self._kept: _Kept | None = None
        self._away: _Away | None = None
        self._line = LineServer(self.apply)
        if self._file:
            # A server orders its keepers by locks on rows; a file has one keeper, for speed.
            self._lock = KeeperLock(Path(self._home.state_dir) / "ledger.lock")
            self._lock.acquire(wait=LOCK_WAIT_SECONDS)
            ledger = _opened(self._home)
            self._kept = _Kept(ledger, GroupCommit(ledger, own_process=True, at_once=SMALL))

    @reply
    async def line(self, payload: bytes) -> dict[str, str]:
        """Where `apply` is reached without Ray between."""
        return await self._line.where()

    async def apply(self, payload: bytes) -> bytes:
        """A JSON list of operations in, a JSON list of answers out. `!` and an error where nothing was committed."""
        try:
            kept = await self._open()
            answers = await kept.commit.submit(operations_json.validate_json(payload))
            await self._came_back(kept)
        except BessemerError as error:
            self._went_away(error)
            return f"!{type(error).__name__} {error.message}".encode()
        return answers_json.dump_json(answers)

    async def _open(self) -> _Kept:
        """The ledger, opened when it is first needed: a server may be away while this host starts."""
        async with self._opening:
            if self._kept is None:
                ledger = await asyncio.to_thread(_opened, self._home)
                self._kept = _Kept(ledger, GroupCommit(ledger, own_process=True))
            return self._kept

    def _went_away(self, error: BessemerError) -> None:
        if self._away is None and isinstance(error, LedgerUnavailable):
            self._away = _Away(time.time(), error.message)

    async def _came_back(self, kept: _Kept) -> None:
        """Write down that the ledger was away, now that it can be written."""
        if self._away is None:
            return
        away, self._away = self._away, None
        text = f"no answer for {time.time() - away.since:.0f} s, work waited: {away.why}"
        row = EventRecord(kind="ledger_away", text=text).to_lake()
        token = f"ledger_away|{os.getpid()}|{away.since}"
        await kept.commit.submit([Record(token=token, rows=(row,))])

    async def _read(self, method: Callable[..., T], *given: Any) -> T:
        """Call a method of the ledger on its thread, between two groups."""
        kept = await self._open()
        return await kept.commit.call(method, kept.ledger, *given)

    @reply
    async def read_outbox(self, payload: bytes) -> list[Any]:
        rows = await self._read(Ledger.read_outbox, decode(payload)["limit"])
        return [list(row) for row in rows]

    @reply
    async def delete_outbox(self, payload: bytes) -> int:
        upto: int = decode(payload)["upto"]
        await self._read(Ledger.delete_outbox, upto)
        return upto

    @reply
    async def open_runs(self, payload: bytes) -> list[dict[str, Any]]:
        """Runs that are open, with what it takes to start them again."""
        rows = await self._read(Ledger.open_runs)
        return [row.model_dump(mode="json", include={"run", "pipeline", "pins", "caps", "owner"}) for row in rows]

    @reply
    async def run_spec(self, payload: bytes) -> dict[str, Any]:
        """What it takes to start a run again, with its status and epoch. Raises LedgerRefusal where there is none."""
        row = await self._read(Ledger.run, decode(payload)["run"])
        return row.model_dump(mode="json", include={"run", "pipeline", "pins", "caps", "status", "epoch"})

    @reply
    async def open_calls(self, payload: bytes) -> list[dict[str, Any]]:
        """Attempts of a run that have not ended, with the step each belongs to."""
        attempts = await self._read(Ledger.attempts, decode(payload)["run"])
        mine = [one for one in attempts if one.state in ("reserved", "parked", "submitted")]
        return [one.model_dump(mode="json", include={"path", "state"}) for one in mine]

    @reply
    async def batched(self, payload: bytes) -> list[dict[str, Any]]:
        """Attempts of a provider that wait for a batch or are in one."""
        rows = await self._read(Ledger.batched, decode(payload)["provider"])
        wanted = {"attempt", "run", "path", "state", "batch", "submitted_at", "detail"}
        return [row.model_dump(mode="json", include=wanted) for row in rows]

    @reply
    async def budgets(self, payload: bytes) -> list[dict[str, Any]]:
        """Caps of the runs under way, and those that several runs share, with what counts against each."""
        open_runs = {f"run:{row.run}" for row in await self._read(Ledger.open_runs)}
        scopes = await self._read(Ledger.scopes)
        shared = (one for one in scopes if one.cap is not None and not one.scope.startswith("run:"))
        under_way = (one for one in scopes if one.scope in open_runs)
        return [one.model_dump(mode="json") for one in (*shared, *under_way)]

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        kept = await self._open()
        counts = {**kept.commit.counts, "lines": self._line.lines}
        state = {"hosts": [kept.ledger.name], "uuid": kept.ledger.ledger_uuid, **counts, **whereabouts()}
        return state | ({"problem": self._away.why} if self._away else {})


def _opened(home: Home) -> Ledger:
    return Ledger.open(home.ledger_url, lease_seconds=float(home.settings.get("ledger", {}).get("lease_seconds", 30)))
