"""Everything a sandboxed command started: counting it, weighing it, ending it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "BESSEMER_SANDBOX"
"""Variable that tells a command's descendants where no namespace does."""
END_SECONDS = 15.0
MOST_WEIGHED = 4096
"""A bomb is over its number of processes anyway; weighing all of it would take long."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Family:
    """A command's processes. `first`: its process 1, seen from outside, where it has process ids of its own.

    Killing the first ends all in the kernel; without it (none, or not yet known) they are found by their mark.
    """

    def __init__(self, pid: int, mark: str, *, namespaced: bool) -> None:
        self._pid = pid
        self._mark = mark
        self._namespaced = namespaced
        self.first = 0

    def weigh(self) -> tuple[int, int]:
        """How many processes there are, and the bytes of memory that are theirs alone."""
        places = self._own_view() or [f"/proc/{pid}" for pid in self._descendants()]
        return len(places), sum(map(_private_bytes, places[:MOST_WEIGHED]))

    async def end(self, process: asyncio.subprocess.Process) -> None:
        """Kill all of it and wait, for a bounded time, until the last one is gone."""
        deadline = time.monotonic() + END_SECONDS
        gone = asyncio.create_task(process.wait())
        known = self._namespaced and (self.first or process.returncode is not None)
        pause = 0.0
        while time.monotonic() < deadline:
            if process.returncode is None and not known:
                _kill(self._pid, signal.SIGSTOP)
            left = self._kill_first() if known else await asyncio.to_thread(self._kill_below)
            if known or not left:
                _kill_group(process)
            await asyncio.wait([gone], timeout=pause)
            if gone.done() and not left:
                return
            pause = 0.01
        _kill_group(process)
        gone.cancel()

    def _kill_first(self) -> bool:
        _kill(self.first)
        return _alive(self.first)

    def _kill_below(self) -> bool:
        """Kill all but the outermost process: orphans come to it, and could not be told from others without it.

        It has been stopped: sandlock's supervisor lives in it, and nothing forks without the supervisor's leave.
        """
        left = [pid for pid in {*_marked(self._mark), *self._descendants()} if pid != self._pid and _alive(pid)]
        for pid in left:
            _kill(pid)
        return bool(left)

    def _own_view(self) -> list[str]:
        """The processes as the command's own /proc lists them: one look at any number. Empty until it has one."""
        own = f"/proc/{self.first}/root/proc"
        with contextlib.suppress(OSError):
            if self.first and Path(own).stat().st_dev != Path("/proc").stat().st_dev:
                return [f"{own}/{name}" for name in os.listdir(own) if name.isdigit()]  # noqa: PTH208
        return []

    def _descendants(self) -> list[int]:
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self._pid).children(recursive=True)]
        return []


def _private_bytes(place: str) -> int:
    try:
        _, resident, shared = Path(place, "statm").read_text().split()[:3]
    except (OSError, ValueError):
        return 0
    return max(0, int(resident) - int(shared)) * _PAGE


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def _kill_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    if pid > 1:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _marked(mark: str) -> Iterator[int]:
    needle = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if needle in (entry / "environ").read_bytes():
                yield int(entry.name)
