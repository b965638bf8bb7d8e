"""Finding a door that works, and running a command through it with a deadline and limits."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psutil

from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox._bubblewrap import environment, find_bubblewrap, wrap
from bessemer.cluster.sandbox._policy import SandboxPolicy, SandboxResult

FLOOD_FACTOR = 4
WATCH_SECONDS = 0.2


class Door(NamedTuple):
    """A way to run commands that works on this machine."""

    name: str
    binary: str

    def command(self, policy: SandboxPolicy, words: Sequence[str]) -> list[str]:
        return list(words) if self.name == "none" else wrap(self.binary, policy, list(words))


@functools.cache
def find_door(preference: str = "auto") -> Door:
    """The door to use; tried once. Raises SandboxUnavailable where none works: there is no silent fallback."""
    if preference == "none":
        return Door("none", "")
    binary = find_bubblewrap()
    if binary is None:
        raise SandboxUnavailable("no sandbox: bubblewrap is not installed; install it, or decide for --no-sandbox")
    trial = [binary, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--", "/bin/true"]
    try:
        done = subprocess.run(trial, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailable(f"no sandbox: {binary} does not run ({error}); decide for --no-sandbox") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise SandboxUnavailable(f"no sandbox: bubblewrap fails here ({reason[0]}); allow user namespaces")
    return Door("bubblewrap", binary)


async def run(command: Sequence[str] | str, policy: SandboxPolicy, door: Door | None = None) -> SandboxResult:
    """Run a command (words, or a shell line) to its end or its limits; nothing of it survives this call."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    chosen = door or find_door()
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *chosen.command(policy, words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd=policy.workspace,
        env=environment(policy) if chosen.name == "none" else {"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        preexec_fn=_limits(policy),
    )
    out, err = _Tail(policy.output_bytes), _Tail(policy.output_bytes)
    readers = [asyncio.create_task(_drain(process.stdout, out)), asyncio.create_task(_drain(process.stderr, err))]
    reason = ""
    try:
        reason = await _watch(process, policy, out, err, began)
    finally:
        _kill(process)
        await process.wait()
        for reader in readers:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(reader, 2)
    return SandboxResult(
        exit_code=process.returncode if process.returncode is not None else -1,
        stdout=out.text(),
        stderr=err.text(),
        seconds=round(time.monotonic() - began, 3),
        timed_out=reason == "timeout",
        flooded=reason == "flood",
        killed_reason=reason,
    )


async def _watch(
    process: asyncio.subprocess.Process, policy: SandboxPolicy, out: _Tail, err: _Tail, began: float
) -> str:
    """Wait for the end; returns why the command must be killed, or nothing."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process.wait()), WATCH_SECONDS)
        if process.returncode is not None:
            return ""
        if time.monotonic() - began > policy.timeout:
            return "timeout"
        if out.seen + err.seen > FLOOD_FACTOR * policy.output_bytes:
            return "flood"
        if _children(process.pid) > policy.processes:
            return "processes"


def _children(pid: int) -> int:
    try:
        return len(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return 0


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _limits(policy: SandboxPolicy) -> Callable[[], None]:
    def apply() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (policy.cpu_seconds, policy.cpu_seconds + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (policy.file_bytes, policy.file_bytes))
        resource.setrlimit(resource.RLIMIT_DATA, (policy.memory_bytes, policy.memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return apply


class _Tail:
    """The beginning and the end of a stream, with what was left out in between counted."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._end = bytearray()
        self.seen = 0

    def add(self, data: bytes) -> None:
        self.seen += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._end += data[max(room, 0) :]
        del self._end[: -self._half]

    def text(self) -> str:
        left_out = self.seen - len(self._head) - len(self._end)
        gap = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out > 0 else b""
        return (bytes(self._head) + gap + bytes(self._end)).decode(errors="replace")


async def _drain(stream: asyncio.StreamReader | None, into: _Tail) -> None:
    while stream is not None and (data := await stream.read(65536)):
        into.add(data)
