"""The folder's way to the cluster and back. What was changed in both places is never overwritten."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from bessemer.cluster.workspace import (
    FOLDER,
    Parcel,
    States,
    pack_parcel,
    remove_files,
    state_of,
    states_of,
    unpack_parcel,
)

THEIRS = "from-cluster"
"""Ending of the cluster's copy of a file that was changed in both places."""


class Desk(Protocol):
    """What is asked of the cluster's desk."""

    place: str
    """The folder's copy, on the head."""

    def ask(self, method: str, **message: Any) -> Any: ...

    def look(self) -> tuple[dict[str, States], bool]: ...


def send(desk: Desk, folder: Path) -> dict[str, Any]:
    """Send what the copy lacks; returns what begins a command on it: `sent`, this machine's files, and `gone`.

    First comes back what an earlier command wrote whose end was not heard here. While another command of this folder
    is under way nothing is sent.
    """
    there, busy = desk.look()
    had, now = there["sent"], there["now"]
    if busy:
        return {"sent": had, "gone": []}
    if now != there["baseline"]:
        had = _fetch(desk, folder, had, there["baseline"], now)
    mine = asyncio.run(states_of(folder))
    # What git ignores is in no list, and may be there all the same.
    gone = sorted(path for path in had.keys() - mine.keys() if state_of(folder / path) in ("", FOLDER))
    wanted = [path for path, state in mine.items() if now.get(path) != state]
    refused: dict[str, str] = {}
    while wanted:
        parcel = pack_parcel(folder, wanted)
        refused |= parcel.refused | desk.ask("take", parcel=parcel.content)
        wanted = parcel.rest
    _tell_refused("not sent", refused)
    kept = {path: state for path, state in had.items() if path not in gone}
    return {"sent": {path: state for path, state in {**kept, **mine}.items() if path not in refused}, "gone": gone}


def bring_back(desk: Desk, folder: Path, sent: States) -> None:
    """Fetch what a command changed, unless another one is still at it."""
    there, busy = desk.look()
    if not busy and there["now"] != there["baseline"]:
        _fetch(desk, folder, sent, there["baseline"], there["now"])


def _fetch(desk: Desk, folder: Path, sent: States, before: States, now: States) -> States:
    """Bring over what changed there since `before`; returns what both have then."""
    changed = sorted(path for path, state in now.items() if before.get(path) != state)
    gone = sorted(path for path in before.keys() - now.keys() if state_of(folder / path) == sent.get(path, ""))
    remove_files(folder, gone)
    kept: dict[str, str] = {}

    def place(name: str) -> str | None:
        """A file may be replaced that is as it was sent, or as it is there; else the cluster's stands beside it."""
        if name not in asked:
            return None
        if state_of(folder / name) in (sent.get(name, ""), now[name]) and not _is_in_the_way(folder, name):
            return name
        kept[name] = _beside(folder, name)
        return kept[name]

    refused: dict[str, str] = {}
    asked, waiting = set(changed), changed
    while waiting:
        parcel = Parcel(**desk.ask("give", paths=waiting))
        refused |= parcel.refused | unpack_parcel(folder, parcel.content, place)
        waiting = parcel.rest
    _tell_refused("not fetched", refused)
    for name, beside in kept.items():
        _say(f"{name} was changed in both places: kept as it is here; the cluster's is in {beside}")
    has = {path: state for path, state in sent.items() if path not in gone}
    has |= {path: now[path] for path in changed if path not in kept and path not in refused}
    desk.ask("given", sent=has, baseline=now)
    return has


def _is_in_the_way(folder: Path, name: str) -> bool:
    """Whether something that is no folder is where a folder of the file's should be."""
    return any(os.path.lexists(one) and not one.is_dir() for one in (folder / name).parents if one != folder)


def _beside(folder: Path, name: str) -> str:
    flat = name.replace("/", "-") if _is_in_the_way(folder, name) else name
    names = (f"{flat}.{THEIRS}{'' if number == 1 else f'-{number}'}" for number in itertools.count(1))
    return next(one for one in names if not os.path.lexists(folder / one))


def _tell_refused(what: str, refused: Mapping[str, str]) -> None:
    if refused:
        _say(f"{what}: {_few(f'{path} ({why})' for path, why in sorted(refused.items()))}")


def _few(texts: Iterable[str]) -> str:
    named = list(texts)
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
