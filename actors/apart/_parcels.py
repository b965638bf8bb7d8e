"""A commit on its way to another machine and back."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from bessemer.actors.apart._carrier import Bundle, Carrier, StoreUnread
from bessemer.cluster.errors import NodeLost
from bessemer.cluster.home import Home
from bessemer.cluster.ray_session import temporary_directory
from bessemer.cluster.workspace import Repository, has, receiver

_log = logging.getLogger(__name__)

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
    bundle: Bundle | None = None
    """The commit itself; None in the hope that it is there."""


class Answer(_Frozen):
    """What a machine says of a parcel; what it made of it is added by kinds of work."""

    lacks: bool = False
    """Whether the commit is not there, so that nothing was done."""
    nearest: str = ""
    """The newest of the commit's ancestors that is there."""
    unread: bool = False
    """Whether the place that the bundle was left in cannot be read from there."""


class Arrival(NamedTuple):
    """Where a parcel's commit is on this machine, and an answer where it is not."""

    place: Path
    repository: Repository
    lacking: Answer | None


A = TypeVar("A", bound=Answer)


async def deliver(
    carrier: Carrier,
    repository: Repository,
    run: str,
    commit: str,
    attempt: Callable[[Parcel], Awaitable[A]],
) -> A:
    """What `attempt` makes of the commit: the first time its name alone is sent, then its pack where that is missing.

    Raises NodeLost where the machine has lost it again.
    """
    names = await repository.git.line("rev-list", f"--max-count={ANCESTORS}", f"{commit}^@")
    parcel = Parcel(run=run, commit=commit, ancestors=tuple(names.split()))
    answer = await attempt(parcel)
    if answer.lacks:
        bundle = await carrier.bundle(repository, run, commit, without=answer.nearest)
        answer = await attempt(parcel.model_copy(update={"bundle": bundle}))
    if answer.unread:
        bundle = await carrier.message(repository, commit, without=answer.nearest)
        answer = await attempt(parcel.model_copy(update={"bundle": bundle}))
    if answer.lacks:
        raise NodeLost(f"a machine lost commit {commit[:12]} that it was sent; the work is done again elsewhere")
    return answer


async def arrived(parcel: Parcel, home: Home) -> Arrival:
    """Take a parcel in on this machine."""
    place = work_folder(home) / parcel.run
    repository = await receiver(place / "repository")
    os.utime(place)
    if not await has(repository, parcel.commit):
        if parcel.bundle is None:
            return Arrival(place, repository, Answer(lacks=True, nearest=await _nearest(repository, parcel)))
        try:
            await Carrier(home).unbundle(repository, parcel.commit, parcel.bundle)
        except StoreUnread as error:
            _log.warning("commit %s is asked for in a message: %s", parcel.commit[:12], error.message)
            nearest = await _nearest(repository, parcel)
            return Arrival(place, repository, Answer(lacks=True, nearest=nearest, unread=True))
    return Arrival(place, repository, None)


async def _nearest(repository: Repository, parcel: Parcel) -> str:
    for commit in parcel.ancestors:
        if await has(repository, commit):
            return commit
    return ""


def work_folder(home: Home) -> Path:
    """Where this machine keeps the work of runs that live elsewhere."""
    return temporary_directory() / "apart" / home.ledger_namespace


def forget_old_work(home: Home) -> None:
    """Remove what no run has touched for a week."""
    folder = work_folder(home)
    for place in folder.iterdir() if folder.is_dir() else ():
        if time.time() - place.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(place, ignore_errors=True)
