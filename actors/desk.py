"""Where commands of machines outside the cluster are carried out: on the head, in a copy of their folder.

| file of a folder's place | what it holds |
|---|---|
| `work/` | the copy |
| `known.json` | what both sides had when they were last the same: `sent` there, `baseline` here |
| `arriving/` | files that are on their way into the copy |
| `commands/N/` | a command's `out`, `err`, process id and, once it has ended, `code` |

Everything is on disk, so that a desk that is started anew goes on where the last one was.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import ray

from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import decode, reply
from bessemer.cluster.errors import ClusterError, UsageError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.home import code_hash
from bessemer.cluster.workspace import (
    FOLDER,
    States,
    clear_for,
    pack_parcel,
    remove_files,
    state_of,
    states_of,
    unpack_parcel,
)

FOLDERS = "BESSEMER_FOLDERS"
"""Names where copies are kept, by default `~/.bessemer/folders`."""
WAIT_SECONDS = 1.0
"""How long a question for output waits for some."""
MOST_OUTPUT = 256 * 2**10
KEPT_COMMANDS = 50
FORGOTTEN_SECONDS = 86_400.0
BROKEN_OFF = -1
"""Instead of the exit code of a command whose shell was killed, or whose machine was restarted."""
_KEPT = re.compile(r"RAY_(AUTH|TLS|USE_TLS)")
"""Of Ray's variables those that a new driver needs; the others are about the desk's own process."""


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=256)
class Desk:
    """Carries out commands in copies of folders. Every message names its folder by the owner's key for it."""

    def __init__(self) -> None:
        end_with_raylet()
        self._root = Path(os.environ.get(FOLDERS) or Path.home() / ".bessemer" / "folders")
        self._locks: dict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)

    @reply
    async def greet(self, payload: bytes) -> str:
        """Where copies are kept. Raises ClusterError where the two machines run different code."""
        message = decode(payload)
        mine, theirs = (version("bessemer"), code_hash()), (message["version"], message["code"])
        if mine != theirs:
            raise ClusterError(
                f"the cluster runs Bessemer {mine[0]} (code {mine[1][:12]}) and this machine {theirs[0]} "
                f"(code {theirs[1][:12]}); install the same on both"
            )
        return str(self._root)

    @reply
    async def look(self, payload: bytes) -> dict[str, Any]:
        """What the copy holds, what it held when both sides were last the same, and whether a command works in it."""
        place = self._place(decode(payload)["folder"])
        async with self._locks[place]:
            return {**_known(place), "now": await _states(place), "busy": _busy(place)}

    @reply
    async def take(self, payload: bytes) -> dict[str, str]:
        """Keep a parcel of files beside the copy until the command begins; returns those that cannot be taken."""
        message = decode(payload)
        arriving = self._place(message["folder"]) / "arriving" / _session(message)
        return await asyncio.to_thread(unpack_parcel, arriving, message["parcel"], lambda name: name)

    @reply
    async def start(self, payload: bytes) -> dict[str, Any]:
        """Bring the copy up to date and begin a command; `command` is its number.

        `synced` is false where another command is at work in the copy, which is then left as it is.
        """
        message = decode(payload)
        place = self._place(message["folder"])
        arriving = place / "arriving" / _session(message)
        async with self._locks[place]:
            synced = not _busy(place)
            if synced:
                await asyncio.to_thread(_arrive, arriving, _work(place), message["gone"])
                _remember(place, message["sent"], await states_of(_work(place)))
            await asyncio.to_thread(_forget_arriving, arriving)
            command = await asyncio.to_thread(_start, place, message["arguments"], message["environment"])
        return {"command": command, "synced": synced}

    @reply
    async def give(self, payload: bytes) -> dict[str, Any]:
        """Some of the copy's files, as a Parcel."""
        message = decode(payload)
        work = _work(self._place(message["folder"]))
        return (await asyncio.to_thread(pack_parcel, work, message["paths"]))._asdict()

    @reply
    async def given(self, payload: bytes) -> None:
        """The owner has fetched what the copy held at `baseline`, and has `sent` now."""
        message = decode(payload)
        place = self._place(message["folder"])
        async with self._locks[place]:
            _remember(place, message["sent"], message["baseline"])

    @reply
    async def output(self, payload: bytes) -> dict[str, Any]:
        """What a command wrote after `out` and `err` bytes of each, and how it ended; waits a moment for some."""
        message = decode(payload)
        here = self._place(message["folder"]) / "commands" / message["command"]
        until = time.monotonic() + WAIT_SECONDS
        while True:
            code = _code(here)
            told = {name: _read(here / name, message[name]) for name in ("out", "err")}
            if code is not None or any(told.values()) or time.monotonic() > until:
                # The end is told once everything before it is.
                return {**{name: base64.b64encode(raw).decode() for name, raw in told.items()}} | {
                    "ended": None if any(told.values()) else code
                }
            await asyncio.sleep(0.05)

    @reply
    async def interrupt(self, payload: bytes) -> None:
        """What Ctrl-C does in a terminal."""
        message = decode(payload)
        here = self._place(message["folder"]) / "commands" / message["command"]
        if process := _lives(here):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGINT)

    def _place(self, folder: str) -> Path:
        if not re.fullmatch(r"[a-z0-9-]{1,80}", folder):
            raise UsageError(f"{folder!r} names no folder")
        return self._root / folder


# The shell outlives the desk, so that the end of a command is not lost with it; it lets the command end by a signal.
_SCRIPT = (
    'trap : INT TERM; cd "$1" || exit; here=$2; shift 2; "$@"; echo $? > "$here/end" && mv "$here/end" "$here/code"'
)


def _start(place: Path, arguments: list[str], environment: dict[str, str]) -> str:
    number = max((int(one.name) for one in _commands(place)), default=0) + 1
    here = place / "commands" / str(number)
    here.mkdir(parents=True)
    command = [sys.executable, "-m", "bessemer.interfaces.cli", *arguments]
    # Ray's workers block these signals, and a command would inherit that.
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        with (here / "out").open("wb") as out, (here / "err").open("wb") as err:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "bessemer", str(_work(place)), str(here), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=_environment(environment),
                start_new_session=True,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    (here / "process").write_text(f"{process.pid} {_began(process.pid)}")
    for old in sorted(_commands(place), key=lambda one: int(one.name))[:-KEPT_COMMANDS]:
        if not _lives(old):
            shutil.rmtree(old, ignore_errors=True)
    return str(number)


def _arrive(arriving: Path, work: Path, gone: list[str]) -> None:
    """Make the copy what its owner has: delete what is gone, then put what arrived."""
    work.mkdir(parents=True, exist_ok=True)
    remove_files(work, gone)
    for file in sorted(arriving.rglob("*")):
        if file.is_symlink() or not file.is_dir():
            name = str(file.relative_to(arriving))
            clear_for(work, name)
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            file.replace(work / name)


def _forget_arriving(arriving: Path) -> None:
    """Remove what is left of a connection's files, and of those that broke off long ago."""
    shutil.rmtree(arriving, ignore_errors=True)
    for other in arriving.parent.glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > FORGOTTEN_SECONDS:
                shutil.rmtree(other, ignore_errors=True)


async def _states(place: Path) -> States:
    """The copy's files, with those that were known and that only a listing would leave out now."""
    work = _work(place)
    if not work.is_dir():
        return {}
    found = await states_of(work)
    known = _known(place)["baseline"].keys() - found.keys()
    left_out = await asyncio.to_thread(lambda: {path: state_of(work / path) for path in known})
    return found | {path: state for path, state in left_out.items() if state not in ("", FOLDER)}


def _session(message: dict[str, Any]) -> str:
    session = str(message["session"])
    if not re.fullmatch(r"[0-9a-f]{32}", session):
        raise UsageError(f"{session!r} names no connection")
    return session


def _environment(given: dict[str, str]) -> dict[str, str]:
    """This process's own, as a new driver of this cluster needs it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") or _KEPT.match(name)}
    address = ray.get_runtime_context().gcs_address
    return {**own, **given, "BESSEMER_CLUSTER__ADDRESS": address, "PYTHONUNBUFFERED": "1"}


def _work(place: Path) -> Path:
    return place / "work"


def _known(place: Path) -> dict[str, States]:
    with contextlib.suppress(FileNotFoundError):
        known: dict[str, States] = json.loads((place / "known.json").read_text())
        return known
    return {"sent": {}, "baseline": {}}


def _remember(place: Path, sent: States, baseline: States) -> None:
    write_atomic(place / "known.json", json.dumps({"sent": sent, "baseline": baseline}).encode())


def _commands(place: Path) -> list[Path]:
    return [one for one in (place / "commands").glob("*") if one.name.isdigit()]


def _busy(place: Path) -> bool:
    return any(_lives(one) for one in _commands(place))


def _lives(here: Path) -> int:
    """The process id of a command's shell while it lives, else 0."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        number, began = (here / "process").read_text().split()
        if _began(int(number)) == began:
            return int(number)
    return 0


def _began(process: int) -> str:
    """When a process began, by a clock that nobody sets: jiffies since the machine's start, and which start that was.

    Empty where there is no such process.
    """
    with contextlib.suppress(OSError, IndexError):
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return "" if state == "Z" else f"{fields[18]}@{boot}"
    if Path("/proc/self/stat").exists():
        return ""
    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(process).create_time())
    return ""


def _code(here: Path) -> int | None:
    """The command's exit code; BROKEN_OFF where its shell is gone without leaving one."""
    gone = not _lives(here)
    if (code := _read(here / "code", 0)).strip():
        return int(code)
    return BROKEN_OFF if gone else None


def _read(file: Path, after: int) -> bytes:
    with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
        content.seek(after)
        return content.read(MOST_OUTPUT)
    return b""
