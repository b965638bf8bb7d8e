"""Running one command through a door, with a deadline and limits; nothing of it survives the call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import IO, Any, NamedTuple

from bessemer.cluster.errors import SandboxUnavailable, WorkspaceError
from bessemer.cluster.own_folder import own_folder
from bessemer.cluster.sandbox._cgroup import control_group
from bessemer.cluster.sandbox._descendants import MARK, Family
from bessemer.cluster.sandbox._door import Door, find_door, preferred_door
from bessemer.cluster.sandbox._output import Tail, drain
from bessemer.cluster.sandbox._policy import KilledReason, SandboxPolicy, SandboxResult

FLOOD_FACTOR = 4
WATCH_SECONDS = 0.1
FIRST_WATCH_SECONDS = 0.02
DRAIN_SECONDS = 2.0


class _Means(NamedTuple):
    join: list[str]
    private: str
    reader: int
    writer: int
    stdin: bytes


class _Started(NamedTuple):
    process: asyncio.subprocess.Process
    family: Family
    out: Tail
    err: Tail
    status: int
    """Where bubblewrap writes its own account; -1 where no door does."""


async def run(
    command: Sequence[str] | str, policy: SandboxPolicy, door: Door | None = None, *, stdin: bytes = b""
) -> SandboxResult:
    """Run a command (words, or a shell line) to its end or its limits. Cancelling the call ends everything it started.

    `stdin` is all it finds on its standard input.

    Raises SandboxUnavailable where no door works and WorkspaceError where the workspace is no folder.
    """
    if not os.path.isdir(policy.workspace):  # noqa: PTH112, ASYNC240  (one stat)
        raise WorkspaceError(f"the workspace {policy.workspace!r} is no folder; nothing can run in it")
    chosen = door if door is not None else await asyncio.to_thread(find_door, preferred_door())
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    began = time.monotonic()
    with control_group(policy) as join, _private_folder(chosen) as private, _status_pipe(chosen) as pipe:
        started = await _start_whole(chosen, policy, words, _Means(join, private, *pipe, stdin))
        readers = [
            asyncio.create_task(drain(started.process.stdout, started.out)),
            asyncio.create_task(drain(started.process.stderr, started.err)),
        ]
        reason: KilledReason = ""
        try:
            reason = await _watch(started, policy, began)
        finally:
            await _to_the_end(_end(started, readers))
        _check_started(started, reason)
    code = started.process.returncode
    return SandboxResult(
        exit_code=code if code is not None else -1,
        stdout=started.out.text(),
        stderr=started.err.text(),
        seconds=round(time.monotonic() - began, 3),
        timed_out=reason == "timeout",
        flooded=reason == "flood",
        killed_reason=reason,
    )


async def _start_whole(door: Door, policy: SandboxPolicy, words: list[str], means: _Means) -> _Started:
    """Start it, or, where the call is cancelled meanwhile, start it and end it: half a start would leave an orphan."""
    starting = asyncio.create_task(_start(door, policy, words, means))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _to_the_end(_end_early(starting))
        raise


async def _end_early(starting: asyncio.Task[_Started]) -> None:
    with contextlib.suppress(SandboxUnavailable):
        await _end(await starting, [])


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await it however often the call is cancelled meanwhile; `work` ends within a bounded time."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def _start(door: Door, policy: SandboxPolicy, words: list[str], means: _Means) -> _Started:
    join, private, reader, writer, stdin = means
    mark = secrets.token_hex(16)
    marked = policy.model_copy(update={"env": {**policy.env, MARK: mark}})
    line = await asyncio.to_thread(door.command, marked, words, private, writer if writer >= 0 else None)
    variables = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), MARK: mark}
    if door.name == "none":
        from bessemer.cluster.sandbox._view import environment

        variables = {**environment(marked), "HOME": private, "TMPDIR": private, **policy.env}
    given: IO[bytes] | None = None
    try:
        given = await asyncio.to_thread(_file_of, stdin) if stdin else None
        process = await asyncio.create_subprocess_exec(
            *join,
            *line,
            stdin=given if given is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd=policy.workspace,
            env=variables,
            pass_fds=(writer,) if writer >= 0 else (),
        )
    except OSError as error:
        raise SandboxUnavailable(f"the sandbox {door.name} does not start: {error.strerror or error}") from None
    finally:
        if given is not None:
            given.close()
        if writer >= 0:
            os.close(writer)
    limit = policy.output_bytes
    family = Family(process.pid, mark, namespaced=door.namespaced)
    return _Started(process, family, Tail(limit, FLOOD_FACTOR), Tail(limit, FLOOD_FACTOR), reader)


def _file_of(data: bytes) -> IO[bytes]:
    """An open file without a name that holds `data`: nobody has to feed it, and a command that reads nothing loses
    nothing."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by whoever starts the command)
    file.write(data)
    file.seek(0)
    return file


async def _watch(started: _Started, policy: SandboxPolicy, began: float) -> KilledReason:
    """Wait for the end; returns why the command must be killed, or nothing."""
    ended = asyncio.create_task(started.process.wait())
    floods = [asyncio.create_task(tail.flooded.wait()) for tail in (started.out, started.err)]
    pause = FIRST_WATCH_SECONDS
    try:
        while True:
            left = policy.timeout - (time.monotonic() - began)
            await asyncio.wait([ended, *floods], timeout=max(0.0, min(pause, left)), return_when="FIRST_COMPLETED")
            if any(flood.done() for flood in floods):
                return "flood"
            if ended.done():
                return ""
            if time.monotonic() - began >= policy.timeout:
                return "timeout"
            _learn_first(started)
            count, memory = await asyncio.to_thread(started.family.weigh)
            if count > policy.processes:
                return "processes"
            if memory > policy.memory_bytes:
                return "memory"
            pause = min(WATCH_SECONDS, pause * 1.5)
    finally:
        for task in (ended, *floods):
            task.cancel()


async def _end(started: _Started, readers: list[asyncio.Task[None]]) -> None:
    """Kill what is left and wait until it is gone."""
    _learn_first(started)
    await started.family.end(started.process)
    pending = (await asyncio.wait(readers, timeout=DRAIN_SECONDS))[1] if readers else ()
    for reader in pending:
        reader.cancel()


def _learn_first(started: _Started) -> None:
    if started.status >= 0 and (child := _account(started.status).get("child-pid")):
        started.family.first = int(child)


_ACCOUNTS: dict[int, dict[str, int]] = {}
_UNFINISHED: dict[int, bytes] = {}
"""What was read of a line that bubblewrap has not finished writing."""


def _account(reader: int) -> dict[str, int]:
    """What bubblewrap has written so far: `child-pid`, and `exit-code` once the command ended by itself."""
    known = _ACCOUNTS.setdefault(reader, {})
    with contextlib.suppress(BlockingIOError):
        data = os.read(reader, 4096)
        *lines, _UNFINISHED[reader] = (_UNFINISHED.get(reader, b"") + data).split(b"\n")
        for line in filter(None, lines):
            known.update(json.loads(line))
    return known


def _check_started(started: _Started, reason: str) -> None:
    if started.status < 0 or reason or "exit-code" in _account(started.status):
        return
    if started.process.returncode == 1 and (said := started.err.text().strip()).startswith("bwrap:"):
        raise SandboxUnavailable(f"the sandbox could not be set up: {said.splitlines()[-1]}")


@contextlib.contextmanager
def _status_pipe(door: Door) -> Iterator[tuple[int, int]]:
    if not door.namespaced:
        yield -1, -1
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        _ACCOUNTS.pop(reader, None)
        _UNFINISHED.pop(reader, None)


@contextlib.contextmanager
def _private_folder(door: Door) -> Iterator[str]:
    """A folder that serves as /tmp where a door has no mounts of its own."""
    if door.name in ("bubblewrap", "docker", "podman"):
        yield ""
        return
    place = own_folder("bsm-private")
    try:
        yield str(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
