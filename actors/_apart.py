"""Building on another machine: the work goes there as a pack, and what was made of it comes back as one.

Nothing is shared but messages. A machine that has the commit already gets no pack; one that is lost is replaced by
another, and the journal answers there what was done before.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bessemer.actors._hosts import builder_on, builder_ref
from bessemer.actors._placement import Node, builders, own_node
from bessemer.actors._wire import HostRef, ask, encode
from bessemer.actors.builders.base import BuildRequest, BuildResult
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import NodeLost
from bessemer.cluster.files import write_atomic
from bessemer.cluster.home import Home
from bessemer.cluster.ray_session import temporary_directory
from bessemer.cluster.run import Ticket
from bessemer.cluster.workspace import Repository, has, pack, receiver, unpack

LOOK_SECONDS = 5.0
"""How long the list of machines is believed."""
KEPT_SECONDS = 7 * 86_400.0
"""How long another machine's work is kept here after it was last touched."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BuildJob(_Frozen):
    """One candidate to build under one ticket."""

    ticket: Ticket
    request: BuildRequest


class ApartJob(_Frozen):
    """A candidate to build away from the run's machine."""

    job: BuildJob
    pack: str = ""
    """The base commit as a pack, in base64; empty in the hope that it is there."""
    hand_off: dict[str, str] = {}
    """Content of the files that the builder may read, by the paths under which it knows them."""


class ApartResult(_Frozen):
    """What became of it; `result` is missing where the base commit is."""

    result: BuildResult | None = None
    pack: str = ""
    """What the result's commit adds to the base, in base64."""


class Builders:
    """The builder hosts as a run sees them: its own machine's, and those that build for others."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._own = builder_ref(home)
        self._others: dict[str, HostRef] = {}
        self._busy: Counter[str] = Counter()
        self._nodes: list[Node] = []
        self._looked = 0.0

    def make(self) -> None:
        """Start this machine's own host now, so that it comes up while others work."""
        self._own.make()

    async def build(self, job: BuildJob, within: float) -> BuildResult:
        """One candidate, on the machine with the least to do. Raises what building raises."""
        while True:
            node = await self._choose()
            name = node.id if node else ""
            self._busy[name] += 1
            try:
                if node is None:
                    return BuildResult.model_validate(await _ask(self._own, "build", job, job.ticket, within))
                return await self._apart(node, job, within)
            except NodeLost:
                if node is None:
                    raise
                self._looked = 0.0
                self._others.pop(node.id, None)
            finally:
                self._busy[name] -= 1

    async def _choose(self) -> Node | None:
        """A machine that builds for others; None for the run's own."""
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._nodes, self._looked = await asyncio.to_thread(builders), now
        own = own_node()
        choices = [None if node.id == own else node for node in self._nodes]
        return min(choices, key=lambda node: self._busy[node.id if node else ""], default=None)

    async def _apart(self, node: Node, job: BuildJob, within: float) -> BuildResult:
        host = self._others.setdefault(node.id, builder_on(self._home, node))
        repository = Repository(Path(job.request.repository))
        files = {path: await asyncio.to_thread(_read, path) for path in job.request.hand_off}
        message = ApartJob(job=job, hand_off=files)
        answer = ApartResult.model_validate(await _ask(host, "build_apart", message, job.ticket, within))
        if answer.result is None:
            packed = base64.b64encode(await pack(repository, job.request.base)).decode()
            message = message.model_copy(update={"pack": packed})
            answer = ApartResult.model_validate(await _ask(host, "build_apart", message, job.ticket, within))
        if answer.result is None:
            raise NodeLost(f"{host.name} lost the work it was sent; it is done again elsewhere")
        if answer.result.commit:
            await unpack(repository, answer.result.commit, base64.b64decode(answer.pack))
        return answer.result


async def placed_here(apart: ApartJob, home: Home) -> BuildJob | None:
    """The job as it can be done on this machine; None where its base commit is not here."""
    request, run = apart.job.request, apart.job.ticket.run
    place = work_folder(home) / run
    repository = await receiver(place / "repository")
    if not await has(repository, request.base):
        if not apart.pack:
            return None
        await unpack(repository, request.base, base64.b64decode(apart.pack))
    here = {
        "repository": str(repository.path),
        "worktree": str(place / "scratch" / Path(request.worktree).name),
        "hand_off_at": tuple([await asyncio.to_thread(_put, place, apart.hand_off[name]) for name in request.hand_off]),
        "interpreter": _interpreter(request.interpreter),
    }
    return apart.job.model_copy(update={"request": request.model_copy(update=here)})


async def packed_result(job: BuildJob, result: BuildResult) -> ApartResult:
    if not result.commit:
        return ApartResult(result=result)
    packed = await pack(Repository(Path(job.request.repository)), result.commit, without=job.request.base)
    return ApartResult(result=result, pack=base64.b64encode(packed).decode())


def work_folder(home: Home) -> Path:
    """Where this machine keeps the work of runs that live elsewhere."""
    return temporary_directory() / "apart" / home.ledger_namespace


def forget_old_work(home: Home) -> None:
    """Remove what no run has touched for a week."""
    folder = work_folder(home)
    for place in folder.iterdir() if folder.is_dir() else ():
        if time.time() - place.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(place, ignore_errors=True)


async def _ask(host: HostRef, method: str, message: BaseModel, ticket: Ticket, within: float) -> object:
    try:
        return await ask(host, method, message.model_dump_json().encode(), within=within)
    except asyncio.CancelledError:
        cancelled = encode({"run": ticket.run, "path": ticket.path})
        await asyncio.shield(ask(host, "cancel", cancelled, within=15))
        raise


def _interpreter(path: str) -> str:
    """The named Python where this machine has it, else the one that runs here."""
    return path if not path or Path(path).exists() else sys.executable


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _put(place: Path, text: str) -> str:
    path = place / "handoff" / f"{content_hash(text)[:16]}.md"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    return str(path)
