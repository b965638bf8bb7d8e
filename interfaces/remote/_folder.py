"""The folder's way to the cluster and back. What was changed in both places is never overwritten."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from bessemer.cluster.workspace import States, parcels, remove_files, state_of, states_of, unpack_parcel
from bessemer.interfaces.remote._client import Client


def send(client: Client, folder: Path) -> States:
    """Bring the copy up to date; returns what this machine's files are.

    First comes back what an earlier command wrote whose end was not heard here. While another command of this folder
    is under way its copy is left alone.
    """
    there, busy = client.look()
    if busy:
        _say("another command of this folder is under way there; its files stay as they are")
        return asyncio.run(states_of(folder))
    had, now = there["sent"], there["now"]
    if now != there["baseline"]:
        had = _fetch(client, folder, had, there["baseline"], now)
    mine = asyncio.run(states_of(folder))
    for parcel in parcels(folder, (path for path, state in mine.items() if now.get(path) != state)):
        client.ask("take", parcel=parcel)
    # What git ignores is in no list, and may be there all the same.
    gone = sorted(path for path in had.keys() - mine.keys() if not state_of(folder / path))
    client.ask("settle", sent={**{path: had[path] for path in had if path not in gone}, **mine}, gone=gone)
    _say(f"working on the cluster's head, in {client.place}; what changes there comes back")
    return mine


def bring_back(client: Client, folder: Path, sent: States) -> None:
    """Fetch what a command changed, unless another one is still at it."""
    there, busy = client.look()
    if not busy and there["now"] != there["baseline"]:
        _fetch(client, folder, sent, there["baseline"], there["now"])


def _fetch(client: Client, folder: Path, sent: States, before: States, now: States) -> States:
    """Bring over what changed there since `before`; returns what both have then."""
    changed = {path for path, state in now.items() if before.get(path) != state}
    gone = before.keys() - now.keys()
    # A file may be replaced that is as it was sent; or as it is there already.
    kept = {path for path in changed | gone if state_of(folder / path) not in (sent.get(path, ""), now.get(path, ""))}
    if wanted := sorted(changed - kept):
        for parcel in client.ask("give", paths=wanted):
            unpack_parcel(folder, parcel)
    remove_files(folder, sorted(gone - kept))
    has = {path: state for path, state in sent.items() if path not in gone - kept}
    has |= {path: now[path] for path in wanted}
    client.ask("given", sent=has, baseline=now)
    if kept:
        _say(f"kept as they are here, because they were changed in both places: {_few(sorted(kept))}")
        _say(f"the cluster's are on its head in {client.place}")
    return has


def _few(paths: Iterable[str]) -> str:
    named = list(paths)
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
