"""Building on the machine with the least to do."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bessemer.actors._hosts import builder_on, builder_ref
from bessemer.actors._placement import Node
from bessemer.actors._wire import HostRef, ask, encode
from bessemer.actors.apart._carrier import Bundle, Carrier
from bessemer.actors.apart._machines import Machines
from bessemer.actors.apart._parcels import Answer, Arrival, Parcel, deliver
from bessemer.actors.builders.base import BuildRequest, BuildResult
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import NodeLost
from bessemer.cluster.files import write_atomic
from bessemer.cluster.home import Home
from bessemer.cluster.run import Ticket
from bessemer.cluster.workspace import Repository


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BuildJob(_Frozen):
    """One candidate to build under one ticket."""

    ticket: Ticket
    request: BuildRequest


class ApartJob(_Frozen):
    """A candidate to build away from the run's machine."""

    job: BuildJob
    base: Parcel
    hand_off: dict[str, str] = {}
    """Content of the files that the builder may read, by the paths under which it knows them."""


class ApartResult(Answer):
    """What became of it."""

    result: BuildResult | None = None
    change: Bundle | None = None
    """What the result's commit adds to the base."""


class Builders:
    """The builder hosts as a run sees them: its own machine's, and those that build for others."""

    def __init__(self, home: Home, machines: Machines) -> None:
        self._home = home
        self._machines = machines
        self._carrier = Carrier(home)
        self._own = builder_ref(home)
        self._others: dict[str, HostRef] = {}

    def make(self) -> None:
        """Start this machine's own host now, so that it comes up while others work."""
        self._own.make()

    async def build(self, job: BuildJob, within: float) -> BuildResult:
        """One candidate, on the machine with the least to do. Raises what building raises."""
        while True:
            node = await self._machines.choose()
            try:
                with self._machines.working(node):
                    if node is None:
                        return BuildResult.model_validate(await _ask(self._own, "build", job, job.ticket, within))
                    return await self._apart(node, job, within)
            except NodeLost:
                if node is None:
                    raise
                self._machines.look_again()
                self._others.pop(node.id, None)

    async def _apart(self, node: Node, job: BuildJob, within: float) -> BuildResult:
        host = self._others.setdefault(node.id, builder_on(self._home, node))
        repository = Repository(Path(job.request.repository))
        files = {path: await asyncio.to_thread(_read, path) for path in job.request.hand_off}

        async def attempt(base: Parcel) -> ApartResult:
            message = ApartJob(job=job, base=base, hand_off=files)
            return ApartResult.model_validate(await _ask(host, "build_apart", message, job.ticket, within))

        answer = await deliver(self._carrier, repository, job.ticket.run, job.request.base, attempt)
        if answer.result is None:
            raise NodeLost(f"{host.name} built nothing of what it was sent; it is done again elsewhere")
        if answer.change is not None:
            await self._carrier.unbundle(repository, answer.result.commit, answer.change)
        return answer.result


async def placed_here(apart: ApartJob, arrival: Arrival) -> BuildJob:
    """The job as it can be done on this machine, where its base has arrived."""
    request, place = apart.job.request, arrival.place
    here = {
        "repository": str(arrival.repository.path),
        "worktree": str(place / "scratch" / Path(request.worktree).name),
        "hand_off_at": tuple([await asyncio.to_thread(_put, place, apart.hand_off[name]) for name in request.hand_off]),
        "interpreter": _interpreter(request.interpreter),
    }
    return apart.job.model_copy(update={"request": request.model_copy(update=here)})


async def packed_result(job: BuildJob, result: BuildResult, home: Home) -> ApartResult:
    if not result.commit:
        return ApartResult(result=result)
    repository = Repository(Path(job.request.repository))
    change = await Carrier(home).bundle(repository, job.ticket.run, result.commit, without=job.request.base)
    return ApartResult(result=result, change=change)


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
