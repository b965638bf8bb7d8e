"""Where commands of machines outside the cluster are carried out: on the head, in a copy of their folder.

| file of a folder's place | what it holds |
|---|---|
| `work/` | the copy |
| `known.json` | what both sides had when they were last the same: `sent` there, `baseline` here |
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
from bessemer.cluster.workspace import States, parcels, remove_files, states_of, unpack_parcel

FOLDERS = "BESSEMER_FOLDERS"
"""Names where copies are kept, by default `~/.bessemer/folders`."""
WAIT_SECONDS = 1.0
"""How long a question for output waits for some."""
MOST_OUTPUT = 256 * 2**10
KEPT_COMMANDS = 50
BROKEN_OFF = 5
"""Exit code of a command whose machine was restarted, or that was killed."""
_KEPT = re.compile(r"RAY_(AUTH|TLS|USE_TLS)")
"""Of Ray's variables those that a new driver needs; the others are about the desk's own process."""


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=256)
class Desk:
    """Carries out commands in copies of folders. Every message names its folder by the owner's key for it."""

    def __init__(self) -> None:
        end_with_raylet()
        self._root = Path(os.environ.get(FOLDERS) or Path.home() / ".bessemer" / "folders")

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
        now = await states_of(_work(place)) if _work(place).is_dir() else {}
        return {**_known(place), "now": now, "busy": _busy(place)}

    @reply
    async def take(self, payload: bytes) -> list[str]:
        """Put a parcel of files into the copy."""
        message = decode(payload)
        return await asyncio.to_thread(unpack_parcel, _work(self._place(message["folder"])), message["parcel"])

    @reply
    async def settle(self, payload: bytes) -> None:
        """All of the owner's files are here: forget those that are gone, and remember what both sides have now."""
        message = decode(payload)
        place = self._place(message["folder"])
        _work(place).mkdir(parents=True, exist_ok=True)
        remove_files(_work(place), message["gone"])
        _remember(place, message["sent"], await states_of(_work(place)))

    @reply
    async def give(self, payload: bytes) -> list[str]:
        """Files of the copy, as parcels."""
        message = decode(payload)
        work = _work(self._place(message["folder"]))
        return await asyncio.to_thread(lambda: list(parcels(work, message["paths"])))

    @reply
    async def given(self, payload: bytes) -> None:
        """The owner has fetched what the copy held at `baseline`, and has `sent` now."""
        message = decode(payload)
        _remember(self._place(message["folder"]), message["sent"], message["baseline"])

    @reply
    async def start(self, payload: bytes) -> str:
        """Begin a command; returns its number."""
        message = decode(payload)
        place = self._place(message["folder"])
        return await asyncio.to_thread(_start, place, message["arguments"], message["environment"])

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
        if (process := _process(here)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

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
    with (here / "out").open("wb") as out, (here / "err").open("wb") as err:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "bessemer", str(_work(place)), str(here), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=_environment(environment),
            start_new_session=True,
        )
    (here / "process").write_text(f"{process.pid} {psutil.Process(process.pid).create_time()}")
    for old in sorted(_commands(place), key=lambda one: int(one.name))[:-KEPT_COMMANDS]:
        if _process(old) is None:
            shutil.rmtree(old)
    return str(number)


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
    return any(_process(one) is not None for one in _commands(place))


def _process(here: Path) -> psutil.Process | None:
    """The command's shell while it lives."""
    with contextlib.suppress(FileNotFoundError, psutil.Error, ValueError):
        number, began = (here / "process").read_text().split()
        process = psutil.Process(int(number))
        if process.create_time() == float(began) and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _code(here: Path) -> int | None:
    """The command's exit code; that of infrastructure where its shell is gone without leaving one."""
    if (code := _read(here / "code", 0)).strip():
        return int(code)
    return BROKEN_OFF if _process(here) is None and not _read(here / "code", 0) else None


def _read(file: Path, after: int) -> bytes:
    with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
        content.seek(after)
        return content.read(MOST_OUTPUT)
    return b""
