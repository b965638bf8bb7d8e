"""Which processes there are: those that may be killed, and those that should be gone."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from bessemer.cluster import ray_session
from chaos.schedule import Victim

MARK = "BESSEMER_CHAOS_WORLD"
"""Environment variable that everything a world starts carries, with the world's folder as its value."""
CLASSES: dict[Victim, str] = {
    "run_host": "RunHost",
    "ledger_keeper": "LedgerKeeper",
    "lake_writer": "LakeWriter",
    "backend_host": "BackendHost",
    "builder_host": "BuilderHost",
    "prober_host": "ProberHost",
    "reviewer_host": "ReviewerHost",
    "limiter": "Limiter",
}


def raylet() -> psutil.Process | None:
    """The raylet of the world's cluster, where it lives."""
    warm = ray_session.warm_cluster()
    with contextlib.suppress(psutil.Error):
        return psutil.Process(warm.raylet) if warm else None
    return None


def host(victim: Victim) -> list[int]:
    """Process ids of the hosts of one class."""
    head = raylet()
    found = []
    with contextlib.suppress(psutil.Error):
        for process in head.children() if head else []:
            title = (process.cmdline() or [""])[0]
            if title.startswith(f"ray::{CLASSES[victim]}"):
                found.append(process.pid)
    return found


def kill(pid: int) -> bool:
    """kill -9; False where it was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def leftovers(world: Path, places: tuple[Path, ...], kept: set[int]) -> list[str]:
    """Processes of a world that nobody is responsible for, in words.

    Those are all with the world's mark or with a word of its folders in their command line or as their working
    directory, but not `kept`, Ray's own, or hosts that Ray keeps warm.
    """
    head = raylet()
    ours = set(kept)
    if head is not None:
        port = _gcs_port(head)
        with contextlib.suppress(psutil.Error):
            ours |= {head.pid, *(one.pid for one in head.children() if _is_rays(one))}
        ours |= {one.pid for one in _of_world(world, places) if any(_names(word, port) for word in _line(one))}
    ours |= {pid for one in kept for pid in _below(one)}
    return [f"{one.pid} {' '.join(_line(one))[:160]}" for one in _of_world(world, places) if one.pid not in ours]


def _of_world(world: Path, places: tuple[Path, ...]) -> Iterator[psutil.Process]:
    mark = f"{MARK}={world}\0".encode()
    signs = tuple(str(place) for place in places)
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            line = process.cmdline()
            marked = mark in Path(f"/proc/{process.pid}/environ").read_bytes() + b"\0"
            if marked or any(sign in word for sign in signs for word in line) or process.cwd().startswith(signs):
                yield process


def _names(word: str, port: str) -> bool:
    return word == f"--gcs_server_port={port}" or word.endswith(f":{port}")


def _is_rays(process: psutil.Process) -> bool:
    line = " ".join(_line(process))
    return line.startswith("ray::") or "ray/" in line or "ray." in line


def _below(pid: int) -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [one.pid for one in psutil.Process(pid).children(recursive=True)]
    return []


def _gcs_port(head: psutil.Process) -> str:
    for word in _line(head):
        if word.startswith("--gcs-address="):
            return word.rpartition(":")[2]
    return "none"


def _line(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []
