"""The one publisher of a ledger's outbox into the lake."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ray
from dotenv import load_dotenv

from bessemer.actors._hosts import keeper_ref
from bessemer.actors._placement import whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, HostRef, ask, encode, reply
from bessemer.cluster.durations import jittered
from bessemer.cluster.home import Home
from bessemer.cluster.lake import BATCH, Publisher

PUBLISH_SECONDS = 1.0
"""Pause between two looks at the outbox while nothing asks for a flush: a commit costs as much as a thousand rows."""

LONGEST_PAUSE_SECONDS = 60.0
"""Longest pause between two tries while the lake refuses; its rows wait in the ledger."""


class KeeperOutbox:
    """The outbox as seen through the keeper."""

    def __init__(self, keeper: HostRef) -> None:
        self._keeper = keeper

    async def read_outbox(self, limit: int) -> list[tuple[int, str, str]]:
        rows = await ask(self._keeper, "read_outbox", encode({"limit": limit}), within=60)
        return [(int(seq), str(table), str(row)) for seq, table, row in rows]

    async def delete_outbox(self, upto: int) -> None:
        await ask(self._keeper, "delete_outbox", encode({"upto": upto}), within=60)


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class LakeWriter(Living):
    """Takes rows from the outbox to the Delta tables, each exactly once."""

    def __init__(self, home: bytes) -> None:
        end_with_raylet()
        self._home = Home.model_validate_json(home)
        # Credentials of an object store may stand beside the project; what the environment says already wins.
        load_dotenv(Path(self._home.state_dir).parent / ".env", override=False)
        self._keeper = keeper_ref(self._home)
        self._publisher: Publisher | None = None
        self._turn = asyncio.Lock()
        self._written = 0
        self._problem = ""
        self._loop: asyncio.Task[None] | None = None

    @reply
    async def flush(self, payload: bytes) -> int:
        """Publish until the outbox is empty; returns the rows written since this host started."""
        self._start()
        while await self._publish():
            continue
        return self._written

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        self._start()
        state = {"hosts": [self._home.lake_url], "rows_written": self._written, **whereabouts()}
        return state | ({"problem": self._problem} if self._problem else {})

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.create_task(self._forever())

    async def _forever(self) -> None:
        pause = PUBLISH_SECONDS
        while True:
            try:
                if await self._publish() < BATCH:
                    await asyncio.sleep(PUBLISH_SECONDS)
                self._problem = ""
                pause = PUBLISH_SECONDS
            except Exception as error:  # the next turn tries again, and `describe` tells people why rows wait
                self._problem = f"{type(error).__name__}: {error}"
                await asyncio.sleep(jittered(pause))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _publish(self) -> int:
        async with self._turn:
            if self._publisher is None:
                described = await ask(self._keeper, "describe", encode({}), within=60)
                self._publisher = Publisher(
                    self._home.lake_url, described["uuid"], "0", KeeperOutbox(self._keeper), self._home.lake_storage
                )
            done = await self._publisher.publish_once()
            self._written += done
            return done
