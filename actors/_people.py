"""How a run speaks with people: events that watchers read, and questions that wait for an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

QUESTION_SECONDS = 3600.0
"""How long a question waits for a person before its default is taken."""
COMPANY_SECONDS = 0.4
"""How long a watcher's answer waits for further events: each answer costs both sides more than a call's JSON."""
URGENT = frozenset({"question", "ended"})
"""Events that go out at once."""
LAST = frozenset({"ended", "left_memory"})
"""Events after which a run says nothing, or nothing for long."""


class People:
    """Events of one run, kept in memory for watchers and appended to `events.jsonl` for later."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "events.jsonl"
        self._out: TextIO | None = None
        """Stays open while the run goes on: to open a file costs ten times what a line does."""
        self._over = False
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._questions: dict[str, asyncio.Future[str]] = {}

    def tell(self, kind: str, **fields: Any) -> None:
        """Announce something that happened; never fails, because a run does not depend on being watched."""
        event = {"kind": kind, "at": round(time.time(), 3), **fields}
        self._events.append(event)
        self._news.set()
        with contextlib.suppress(OSError):
            self._write(event)

    def _write(self, event: dict[str, Any]) -> None:
        out, self._out = self._out or self._file.open("a", buffering=1), None
        self._over = self._over or event["kind"] in LAST
        try:
            out.write(json.dumps(event) + "\n")
            if not self._over:
                self._out = out
        finally:
            if self._out is None:
                # What could not be written is given up: the next event finds the file anew.
                out.close()

    def crashed(self, error: BaseException) -> None:
        """Keep the traceback of a defect of ours beside the run's files."""
        self.tell("crashed", traceback=traceback.format_exception(error))

    async def since(self, after: int, wait: float) -> tuple[list[dict[str, Any]], int]:
        """Events from number `after` on, and the number to ask from next; waits up to `wait` seconds for one."""
        if len(self._events) <= after and wait > 0:
            await self._next(wait)
            until = time.monotonic() + COMPANY_SECONDS
            while self._events[after:] and not any(one["kind"] in URGENT for one in self._events[after:]):
                if (left := until - time.monotonic()) <= 0:
                    break
                await self._next(left)
        return self._events[after:], len(self._events)

    async def _next(self, seconds: float) -> None:
        """Wait for the next event, at most so long."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def ask(self, question: str, text: str, options: tuple[str, ...], default: str) -> str:
        """Put a question to whoever watches; returns one of `options`, or `default` after an hour."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._questions[question] = future
        self.tell("question", question=question, text=text, options=list(options), default=default)
        try:
            return await asyncio.wait_for(future, QUESTION_SECONDS)
        except TimeoutError:
            return default
        finally:
            del self._questions[question]

    def answered(self, question: str, answer: str) -> bool:
        """Deliver an answer; False where nobody waits for it."""
        future = self._questions.get(question)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True
