"""Who a process is, so that another can tell later whether it still lives."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

import psutil


class Owner(NamedTuple):
    """A process that may own runs: `role@host:pid:start`, unique even when process ids are used again."""

    role: str
    host: str
    pid: int
    started: int
    """Start of the process in centiseconds since the epoch."""

    def __str__(self) -> str:
        return f"{self.role}@{self.host}:{self.pid}:{self.started}"

    @property
    def is_dead(self) -> bool:
        """True only where this machine can prove it; a process of another machine is never provably dead."""
        return self.host == socket.gethostname() and _start_of(self.pid) != self.started


def this_process(role: str) -> Owner:
    """The owner name of the calling process."""
    pid = os.getpid()
    return Owner(role, socket.gethostname(), pid, _start_of(pid) or 0)


def read_owner(text: str) -> Owner | None:
    """Read what `str(owner)` wrote; None for anything else."""
    role, at, rest = text.rpartition("@")
    parts = rest.rsplit(":", 2)
    if not at or len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return Owner(role, parts[0], int(parts[1]), int(parts[2]))


def _start_of(pid: int) -> int | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return round(process.create_time() * 100)
    except psutil.Error:
        return None
