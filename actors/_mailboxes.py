"""The host's side of polls: calls are made, and how they ended waits for the next poll of whoever asked for them.

| object | role | lifetime |
|---|---|---|
| `Mailboxes` | takes polls, each into the mailbox of its client | the host |
| `_Mailbox` | a client's calls under way, endings not fetched yet, polls that wait | until the client is gone |
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Iterable

from pydantic import ValidationError

from bessemer.actors._calls import CallEnvelope
from bessemer.actors._journal import Caller
from bessemer.actors._polling import HOLD_SECONDS, Ending, Endings, Poll
from bessemer.cluster.errors import BessemerError, Cancelled, InfrastructureError

COMPANY_SECONDS = 0.01
"""How long an ending waits for others to travel with: a message costs both hosts as much CPU as a call's JSON."""
GROUP = 64
"""Most endings in one message: its receiver begins with them while the next ones are made ready."""
HELD = 4
"""Polls of one client that wait at once. Each new one brings calls; the oldest goes home with nothing."""
GONE_SECONDS = 10 * HOLD_SECONDS
"""A client of which nothing was heard for so long, and for which nothing is under way, is forgotten."""
REMEMBERED = 4096
"""Cancellations that came before their calls."""


class Mailboxes:
    """Makes the calls of every poll through one service. Belongs to one event loop."""

    def __init__(self, service: Caller) -> None:
        self._service = service
        self._boxes: dict[str, _Mailbox] = {}

    async def poll(self, payload: bytes) -> bytes:
        """A Poll as JSON in, Endings as JSON out, as soon as there are any, at the latest after HOLD_SECONDS."""
        answer = await self._answer(payload)
        try:
            return answer.model_dump_json().encode()
        except ValueError:
            # One of them cannot be written down; the others must not suffer for it.
            endings = tuple(_writable(ending) for ending in answer.endings)
            return answer.model_copy(update={"endings": endings}).model_dump_json().encode()

    async def _answer(self, payload: bytes) -> Endings:
        try:
            poll = Poll.model_validate_json(payload)
        except ValidationError as error:
            return Endings(fault=" ".join(str(error).split())[:400])
        box = self._boxes.get(poll.client)
        if box is None:
            if poll.in_hand is None:
                return Endings(stranger=True)
            self._forget_the_gone()
            box = self._boxes[poll.client] = _Mailbox(self._service)
        if not box.take(poll):
            return Endings()
        endings = await box.fetch()
        return Endings(endings=tuple(endings), idle=not endings and box.is_idle)

    def _forget_the_gone(self) -> None:
        self._boxes = {client: box for client, box in self._boxes.items() if not box.gone()}


class _Mailbox:
    def __init__(self, service: Caller) -> None:
        self._service = service
        self._tasks: dict[int, asyncio.Task[Ending]] = {}
        self._ended: dict[int, Ending] = {}
        self._cancelled: dict[int, None] = {}
        self._held: deque[asyncio.Future[list[Ending]]] = deque()
        self._delivery: asyncio.TimerHandle | None = None
        self._heard = _now()
        self._talk = 0

    @property
    def is_idle(self) -> bool:
        return not self._tasks and not self._ended

    def gone(self) -> bool:
        return not self._tasks and not self._held and _now() - self._heard > GONE_SECONDS

    def take(self, poll: Poll) -> bool:
        """Begin its calls, and end those that nobody waits for. False where it comes late of an older talk."""
        self._heard = _now()
        if poll.talk < self._talk:
            return False
        if poll.talk > self._talk:
            # Whoever begins anew has not heard what its older polls may still be told.
            self._talk = poll.talk
            self._send_home(len(self._held))
        if poll.in_hand is not None:
            self._cancel({number for number in self._tasks if number < poll.before} - set(poll.in_hand))
        for number, envelope in poll.calls.items():
            if number not in self._tasks and number not in self._ended and number not in self._cancelled:
                task = self._tasks[number] = asyncio.create_task(self._make(number, envelope))
                task.add_done_callback(functools.partial(self._end, number))
        self._cancel(poll.cancelled)
        return True

    async def fetch(self) -> list[Ending]:
        """Endings not told yet; none where nothing ended in time, or newer polls wait."""
        asked: asyncio.Future[list[Ending]] = asyncio.get_running_loop().create_future()
        self._held.append(asked)
        self._send_home(len(self._held) - HELD)
        if self._ended or not self._tasks:
            self._deliver_in(0)
        await asyncio.wait([asked], timeout=HOLD_SECONDS)
        if asked.done():
            return asked.result()
        self._held.remove(asked)
        return []

    def _cancel(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._ended.pop(number, None)
            if (task := self._tasks.pop(number, None)) is not None:
                task.cancel()
            else:
                self._cancelled[number] = None
        while len(self._cancelled) > REMEMBERED:
            del self._cancelled[next(iter(self._cancelled))]

    def _send_home(self, polls: int) -> None:
        for _ in range(polls):
            self._held.popleft().set_result([])

    def _end(self, number: int, task: asyncio.Task[Ending]) -> None:
        # One that was taken out is not waited for any more.
        if self._tasks.get(number) is task:
            del self._tasks[number]
            ended = Ending.failed(number, Cancelled("the call was cancelled")) if task.cancelled() else task.result()
            self._ended[number] = ended
        self._deliver_in(COMPANY_SECONDS if self._tasks else 0)

    def _deliver_in(self, seconds: float) -> None:
        if self._delivery is None:
            self._delivery = asyncio.get_running_loop().call_later(seconds, self._deliver)

    def _deliver(self) -> None:
        self._delivery = None
        while self._held and self._ended:
            numbers = list(self._ended)[:GROUP]
            self._held.popleft().set_result([self._ended.pop(number) for number in numbers])
        if not self._tasks:
            self._send_home(len(self._held))

    async def _make(self, number: int, envelope: CallEnvelope) -> Ending:
        try:
            return Ending.of(number, await self._service.call(envelope))
        except BessemerError as error:
            return Ending.failed(number, error)
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            message = f"call {envelope.key} failed in its backend host: {text}"
            return Ending.failed(number, InfrastructureError(message))


def _writable(ending: Ending) -> Ending:
    try:
        ending.model_dump_json()
    except ValueError as error:
        text = f"the answer cannot be written down: {' '.join(str(error).split())[:200]}"
        return Ending.failed(ending.number, InfrastructureError(text))
    return ending


def _now() -> float:
    return asyncio.get_running_loop().time()
