"""A commit on its way to another machine and back."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from bessemer.cluster.errors import NodeLost
from bessemer.cluster.home import Home
from bessemer.cluster.ray_session import temporary_directory
from bessemer.cluster.workspace import Repository, has, pack, receiver, unpack

KEPT_SECONDS = 7 * 86_400.0
"""How long another machine's work is kept here after it was last touched."""
ANCESTORS = 64
"""Commits before the one that travels which the other machine is asked for."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parcel(_Frozen):
    """A commit of a run."""

    run: str
    commit: str
    ancestors: tuple[str, ...] = ()
    """The newest first: what of them is there need not travel."""
    pack: str = ""
    """The commit as a pack, in base64; empty in the hope that it is there."""


class Answer(_Frozen):
    """What a machine says of a parcel; what it made of it is added by kinds of work."""

    lacks: bool = False
    """Whether the commit is not there, so that nothing was done."""
    nearest: str = ""
    """The newest of the commit's ancestors that is there."""


class Arrival(NamedTuple):
    """Where a parcel's commit is on this machine, and an answer where it is not."""

    place: Path
    repository: Repository
    lacking: Answer | None


A = TypeVar("A", bound=Answer)


async def deliver(
    repository: Repository, run: str, commit: str, there: str, attempt: Callable[[Parcel], Awaitable[A]]
) -> A:
    """What `attempt` makes of the commit: the first time its name alone is sent, then its pack where that is missing.

    Raises NodeLost where the machine `there` has lost it again.
    """
    names = await repository.git.line("rev-list", f"--max-count={ANCESTORS}", f"{commit}^@")
    parcel = Parcel(run=run, commit=commit, ancestors=tuple(names.split()))
    answer = await attempt(parcel)
    if answer.lacks:
        packed = await pack(repository, commit, without=answer.nearest)
        answer = await attempt(parcel.model_copy(update={"pack": base64.b64encode(packed).decode()}))
    if answer.lacks:
        raise NodeLost(f"{there} lost the work it was sent; it is done again elsewhere")
    return answer


async def arrived(parcel: Parcel, home: Home) -> Arrival:
    """Take a parcel in on this machine."""
    place = work_folder(home) / parcel.run
    repository = await receiver(place / "repository")
    os.utime(place)
    if not await has(repository, parcel.commit):
        if not parcel.pack:
            found = [commit for commit in parcel.ancestors if await has(repository, commit)][:1]
            return Arrival(place, repository, Answer(lacks=True, nearest="".join(found)))
        await unpack(repository, parcel.commit, base64.b64decode(parcel.pack))
    return Arrival(place, repository, None)


def work_folder(home: Home) -> Path:
    """Where this machine keeps the work of runs that live elsewhere."""
    return temporary_directory() / "apart" / home.ledger_namespace


def forget_old_work(home: Home) -> None:
    """Remove what no run has touched for a week."""
    folder = work_folder(home)
    for place in folder.iterdir() if folder.is_dir() else ():
        if time.time() - place.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(place, ignore_errors=True)
