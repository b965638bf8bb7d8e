"""Running a run from a terminal: watch it, put its questions, and stop it cleanly on Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from bessemer.actors.run_host import RunSpec
from bessemer.cluster.errors import Cancelled
from bessemer.interfaces._driver import Driver
from bessemer.interfaces.cli._frame import say
from bessemer.interfaces.cli._progress import View


async def follow(driver: Driver, spec: RunSpec, view: View, *, leave: bool = False) -> dict[str, Any]:
    """Watch to the end. The first Ctrl-C asks the run to stop and save; a second leaves at once.

    With `leave` Ctrl-C ends only the watching, and raises Cancelled.
    """
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)

    async def ask(event: dict[str, Any]) -> str:
        with view.paused():
            return await ask_person(event)

    watching = asyncio.create_task(driver.watch(spec, view.show, ask))
    stopping = asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not watching.done() and leave:
            raise Cancelled(f"left run {spec.run}; it goes on, and `bessemer run attach {spec.run}` follows it again")
        if not watching.done():
            view.show(
                {
                    "kind": "notice",
                    "text": "stopping; what was accepted so far is being saved (Ctrl-C again leaves now)",
                }
            )
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            await driver.cancel(spec.run)
        return await watching
    finally:
        stopping.cancel()
        watching.cancel()
        view.close()


async def ask_person(event: dict[str, Any]) -> str:
    """Put a run's question on the terminal; without one, its default is the answer."""
    options, default = list(event["options"]), str(event["default"])
    if not sys.stdin.isatty():
        return default
    while True:
        say(f"\n{event['text']}")
        print(f"[{'/'.join(options)}] ({default}): ", end="", file=sys.stderr, flush=True)
        answer = (await _typed_line()).strip().lower() or default
        matches = [option for option in options if option.startswith(answer)]
        if len(matches) == 1:
            return str(matches[0])


async def _typed_line() -> str:
    """The next line from the terminal; empty at its end. Unlike `input` in a thread, this can be cancelled."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()
    terminal = sys.stdin.fileno()

    def take() -> None:
        if not typed.done():
            typed.set_result(os.read(terminal, 4096).decode(errors="replace"))

    loop.add_reader(terminal, take)
    try:
        return await typed
    finally:
        loop.remove_reader(terminal)
