"""`--address ray://HOST:PORT`: the folder goes to the head, the command runs there, and what it changed comes back.

Nothing of the command itself runs here, so every command takes such an address. Its keys are the cluster's: neither
`.env` nor this machine's variables travel.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bessemer.cluster.errors import ClusterError

if TYPE_CHECKING:
    from bessemer.interfaces.remote._client import Client

SCHEME = "ray://"
FLAG = "--address"
ENDINGS = frozenset({0, 1, 2, 3, 4, 5, 130, 141})
"""Exit codes that a command ends with by itself."""
_TOLD = ("COLUMNS", "NO_COLOR", "LANG", "LC_ALL", "TZ")
"""Variables of this machine that concern only how things look."""


def address_in(arguments: Sequence[str]) -> str:
    """The address of another cluster that the arguments name; empty where they name none."""
    return next((value for _, value in _addresses(arguments) if value.startswith(SCHEME)), "")


def carry_out(address: str, arguments: Sequence[str]) -> int:
    """Carry the command out there; returns its exit code.

    Raises ClusterError where the cluster cannot be reached or runs other code, DeliverableError for files that cannot
    travel.
    """
    from bessemer.interfaces.remote._client import Client
    from bessemer.interfaces.remote._folder import bring_back, send

    folder = Path.cwd()
    with Client.connected(address, folder) as client:
        work = send(client, folder)
        command, synced = client.start(without_address(arguments), _looks(), work)
        if synced:
            _say(f"working on the cluster's head, in {client.place}; what changes there comes back")
        else:
            _say("another command of this folder is under way there; its files stay as they are")
        code = _follow(client, command)
        if synced:
            bring_back(client, folder, work["sent"])
    if code not in ENDINGS:
        how = "without a word" if code < 0 else f"with exit code {code}"
        raise ClusterError(f"the command ended there {how}; it may have been killed: see `bessemer run list`")
    return code


def _addresses(arguments: Sequence[str]) -> Iterator[tuple[slice, str]]:
    """Where the flag stands, with its value."""
    for place, one in enumerate(arguments):
        if one == "--":
            return
        if one == FLAG and place + 1 < len(arguments):
            yield slice(place, place + 2), arguments[place + 1]
        elif one.startswith(f"{FLAG}="):
            yield slice(place, place + 1), one.partition("=")[2]


def without_address(arguments: Sequence[str]) -> list[str]:
    """The command as it is carried out there."""
    left = list(arguments)
    for place, _ in reversed(list(_addresses(arguments))):
        del left[place]
    return left


def _looks() -> dict[str, str]:
    columns = {"COLUMNS": str(os.get_terminal_size().columns)} if sys.stderr.isatty() else {}
    return columns | {name: os.environ[name] for name in _TOLD if name in os.environ}


def _follow(client: Client, command: str) -> int:
    """Show what a command writes until it has ended. Ctrl-C goes to the command; a second one leaves it alone."""
    read = {"out": 0, "err": 0}
    streams = {"out": sys.stdout.buffer, "err": sys.stderr.buffer}
    with _interrupts() as asked:
        while True:
            if asked.is_set():
                asked.clear()
                client.interrupt(command)
            said, code = client.output(command, read)
            try:
                for name, raw in said.items():
                    read[name] += len(raw)
                    streams[name].write(raw)
                    streams[name].flush()
            except BrokenPipeError:
                client.interrupt(command)
                raise
            if code is not None:
                return code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the next one is as usual."""
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
