"""Collects the overnight calls of every run of a ledger into the batches of one provider account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from dotenv import load_dotenv

from bessemer.actors._backend_service import book_of
from bessemer.actors._hosts import backend_client, keeper_ref, ledger_client
from bessemer.actors._line import LineServer
from bessemer.actors._mailboxes import Mailboxes
from bessemer.actors._placement import whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._run_hosts import RunHosts
from bessemer.actors._wire import MESSAGES, ask, decode, encode, reply
from bessemer.actors.batch import BatchService, Parking, open_desk
from bessemer.actors.batch.base import left_memory
from bessemer.cluster.backend_settings import BackendSettings, BatchSettings
from bessemer.cluster.home import Home
from bessemer.cluster.ledger.operations import Recall

KEEPER_SECONDS = 120.0
START_SECONDS = 300.0


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class BatchHost(Living):
    """A BatchService as an actor, with the messages of a BackendHost."""

    def __init__(self, home: bytes, name: str) -> None:
        """`name` is the actor's own, `batch/PROVIDER/ACCOUNT`: no other actor of this ledger has it."""
        end_with_raylet()
        self._home = Home.model_validate_json(home)
        load_dotenv(Path(self._home.state_dir).parent / ".env", override=False)
        _, self._provider, self._account = name.split("/")
        backends = BackendSettings.model_validate(self._home.settings.get("backends", {}))
        self._ledger = ledger_client(self._home)
        self._keeper = keeper_ref(self._home)
        self._runs = RunHosts(self._home)
        self._service = BatchService(
            self._provider,
            open_desk(self._provider, backends),
            self._ledger,
            book_of(backends),
            Parking(self._known, self._wake, backend_client(self._home).call),
            BatchSettings.model_validate(self._home.settings.get("batch", {})),
            backends,
            host=name,
        )
        self._mailboxes = Mailboxes(self._service)
        self._line = LineServer(self.poll)

    @reply
    async def line(self, payload: bytes) -> dict[str, str]:
        """Where `poll` is reached without Ray between."""
        return await self._line.where()

    async def poll(self, payload: bytes) -> bytes:
        """A Poll in, Endings out, as soon as there are any."""
        return await self._mailboxes.poll(payload)

    @reply
    async def cancel_batch(self, payload: bytes) -> bool:
        """Ask the vendor to cancel a batch; False where it is not ours."""
        return await self._service.cancel_batch(decode(payload)["batch"])

    @reply
    async def ping(self, payload: bytes) -> str:
        """The name of this incarnation."""
        return self._service.instance

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        """Calls and batches in hand; never a key."""
        known = self._service.describe()
        return {"hosts": known["models"], **whereabouts(), **known}

    async def _known(self) -> list[dict[str, Any]]:
        message = encode({"provider": self._provider})
        rows: list[dict[str, Any]] = await ask(self._keeper, "batched", message, within=KEEPER_SECONDS)
        return [row for row in rows if row["detail"].get("account", self._account) == self._account]

    async def _wake(self, run: str) -> None:
        """Start a run again that left memory to wait for its batches, and that nobody has resumed or stopped since."""
        from bessemer.actors.run_host import RunSpec

        row = await ask(self._keeper, "run_spec", encode({"run": run}), within=KEEPER_SECONDS)
        if row["status"] != "interrupted":
            return
        left = await self._ledger.recall(Recall(run=run, path="", name=left_memory(row["epoch"])))
        if not left.found:
            return
        spec = RunSpec(run=run, pipeline=row["pipeline"], pins=row["pins"], caps=row["caps"])
        await self._runs.start(spec, within=START_SECONDS)
