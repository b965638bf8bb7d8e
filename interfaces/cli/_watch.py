"""Running a run from a terminal: watch it, put its questions, and stop it cleanly on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from bessemer.actors.run_host import RunSpec
from bessemer.cluster.errors import BessemerError
from bessemer.interfaces._driver import Driver
from bessemer.interfaces.cli._progress import View


async def follow(driver: Driver, spec: RunSpec, view: View) -> dict[str, Any]:
    """Watch to the end. The first Ctrl-C asks the run to stop and save; a second leaves at once."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    watching = asyncio.create_task(driver.watch(spec, view.show, ask_person))
    stopping = asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
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
    prompt = f"\n{event['text']}\n[{'/'.join(options)}] ({default}): "
    while True:
        answer = (await asyncio.to_thread(input, prompt)).strip().lower() or default
        matches = [option for option in options if option.startswith(answer)]
        if len(matches) == 1:
            return str(matches[0])


def resume_hint(run: str, error: BessemerError | None = None) -> str:
    """The command that takes a run up again."""
    return f"resume with: bessemer run resume {run}"
