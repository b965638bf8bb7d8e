"""The one writer of a ledger: groups what every host asks for into one durable transaction."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ray

from bessemer.actors._wire import decode, reply
from bessemer.cluster.errors import LedgerUnavailable, StateUnwritable
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import GroupCommit, KeeperLock, Ledger
from bessemer.cluster.ledger.operations import answers_json, operations_json

LOCK_WAIT_SECONDS = 30.0
"""A keeper that was killed frees its lock at once; one that is still ending needs a moment."""


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0)
class LedgerKeeper:
    """Hosts the ledger of one home. Messages are batches of operations; answers come after the commit."""

    def __init__(self, home: bytes) -> None:
        self._home = Home.model_validate_json(home)
        self._lock = KeeperLock(Path(self._home.state_dir) / "ledger.lock")
        self._lock.acquire(wait=LOCK_WAIT_SECONDS)
        self._ledger = Ledger.open(self._home.ledger_url)
        self._commit = GroupCommit(self._ledger)

    async def apply(self, payload: bytes) -> bytes:
        """A JSON list of operations in, a JSON list of answers out. `!` and an error where nothing was committed."""
        try:
            answers = await self._commit.submit(operations_json.validate_json(payload))
        except (LedgerUnavailable, StateUnwritable) as error:
            return f"!{type(error).__name__} {error.message}".encode()
        return answers_json.dump_json(answers)

    @reply
    async def read_outbox(self, payload: bytes) -> list[Any]:
        rows = await self._commit.call(self._ledger.read_outbox, decode(payload)["limit"])
        return [list(row) for row in rows]

    @reply
    async def delete_outbox(self, payload: bytes) -> int:
        upto: int = decode(payload)["upto"]
        await self._commit.call(self._ledger.delete_outbox, upto)
        return upto

    @reply
    async def open_runs(self, payload: bytes) -> list[dict[str, Any]]:
        """Runs that are open, with what it takes to start them again."""
        rows = await self._commit.call(self._ledger.open_runs)
        return [row.model_dump(mode="json", include={"run", "pipeline", "pins", "caps", "owner"}) for row in rows]

    @reply
    async def run_spec(self, payload: bytes) -> dict[str, Any]:
        """What it takes to start a run again, with its status and epoch. Raises LedgerRefusal where there is none."""
        row = await self._commit.call(self._ledger.run, decode(payload)["run"])
        return row.model_dump(mode="json", include={"run", "pipeline", "pins", "caps", "status", "epoch"})

    @reply
    async def open_calls(self, payload: bytes) -> list[dict[str, Any]]:
        """Attempts of a run that have not ended, with the step each belongs to."""
        attempts = await self._commit.call(self._ledger.attempts, decode(payload)["run"])
        mine = [one for one in attempts if one.state in ("reserved", "parked", "submitted")]
        return [one.model_dump(mode="json", include={"path", "state"}) for one in mine]

    @reply
    async def batched(self, payload: bytes) -> list[dict[str, Any]]:
        """Attempts of a provider that wait for a batch or are in one."""
        rows = await self._commit.call(self._ledger.batched, decode(payload)["provider"])
        wanted = {"attempt", "run", "path", "state", "batch", "submitted_at", "detail"}
        return [row.model_dump(mode="json", include=wanted) for row in rows]

    @reply
    async def spending(self, payload: bytes) -> dict[str, int]:
        """Calls, tokens and micro-dollars of a run's steps whose path begins with a prefix."""
        message = decode(payload)
        attempts = await self._commit.call(self._ledger.attempts, message["run"])
        mine = [one for one in attempts if one.path.startswith(message["prefix"])]
        return {
            "calls": len(mine),
            "input_tokens": sum(int((one.usage or {}).get("input", 0)) for one in mine),
            "output_tokens": sum(int((one.usage or {}).get("output", 0)) for one in mine),
            "cost": sum(one.charge for one in mine),
            "in_doubt": sum(one.charge for one in mine if one.state == "in_doubt"),
        }

    @reply
    async def left(self, payload: bytes) -> int | None:
        """Micro-dollars left under the tightest cap of a run; None where it has none."""
        row = await self._commit.call(self._ledger.run, decode(payload)["run"])
        scopes = await self._commit.call(self._ledger.scopes)
        return min(
            (one.cap - one.used for one in scopes if one.scope in row.caps and one.cap is not None), default=None
        )

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        return {"hosts": [self._home.ledger_url], "uuid": self._ledger.ledger_uuid, "pid": os.getpid()}
