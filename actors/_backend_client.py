"""How hosts reach models: calls of one event-loop turn travel as one message, which waits for what has ended.

| object | role | lifetime |
|---|---|---|
| `BackendClient` | takes calls, sends them to the host of their provider | the host or run that makes calls |
| `_Fleet` | the hosts of one provider, more of them under load | the client |
| `_Lane` | one host: what waits to be sent to it, what it has in hand, the polls that wait there | the client |
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import ClientError
from pydantic import ValidationError
from ray.exceptions import RayError, RayTaskError

from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors._hosts import backend_ref
from bessemer.actors._line import Direct
from bessemer.actors._polling import HOLD_SECONDS, Ending, Endings, Poll
from bessemer.actors._wire import HostRef
from bessemer.actors.backends.base import split_name
from bessemer.actors.batch import has_batches
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.durations import jittered
from bessemer.cluster.errors import ClusterError, UnknownBackend
from bessemer.cluster.home import Home
from bessemer.cluster.ledger.operations import Outcome

BUSY = 256
"""Calls in hand from which a provider gets another host: one carries so many while they wait, and two share less."""
MOST_HOSTS = 4
BATCH = 64
"""Most calls in one message: the host begins with them while the next ones are made ready."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds before a lost host is asked again; doubled each time."""

FindHost = Callable[[str], HostRef]


@dataclass
class _Call:
    envelope: CallEnvelope
    ended: asyncio.Future[Outcome | BudgetRefused]
    deadline: float
    """Loop time."""

    def message(self) -> CallEnvelope:
        """The envelope, with the time that is left."""
        left = max(self.deadline - asyncio.get_running_loop().time(), 0.001)
        if left > 0.99 * self.envelope.within:
            return self.envelope
        return self.envelope.model_copy(update={"within": left})


class BackendClient:
    """Makes calls through backend hosts, which are made when first needed. Belongs to one event loop."""

    def __init__(self, home: Home, find: FindHost | None = None) -> None:
        """`find` gives the host of a name; by default the named actor, made where there is none."""
        self._settings = BackendSettings.model_validate(home.settings.get("backends", {}))
        self._most = self._settings.hosts or min(MOST_HOSTS, len(os.sched_getaffinity(0)))
        self._find = find or (lambda name: backend_ref(home, name))
        self._fleets: dict[str, _Fleet] = {}

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        """Make one call. A host that dies meanwhile is asked again; the ledger decides what is bought again.

        Raises what BackendService.call raises, and ClusterError when no host answered within the envelope's time.
        """
        name = self._host_name(envelope)
        if name not in self._fleets:
            # The embedded model is one process with one copy in memory; more hosts would be more copies. Batches are
            # formed across runs, so that their host is one.
            most = 1 if name == "backend/embedded" or name.startswith("batch/") else self._most
            self._fleets[name] = _Fleet(name, most, self._find)
        return await self._fleets[name].call(envelope)

    def _host_name(self, envelope: CallEnvelope) -> str:
        backend = envelope.request.backend
        provider = _provider(backend)
        if envelope.urgency == "overnight" and has_batches(backend):
            return f"batch/{provider}/{self._settings.vendor(provider).account}"
        return f"backend/{provider}"

    def in_hand(self) -> dict[str, int]:
        """Calls not ended, by host name."""
        return {lane.name: lane.in_hand for fleet in self._fleets.values() for lane in fleet.lanes}


class _Fleet:
    def __init__(self, name: str, most: int, find: FindHost) -> None:
        self._name = name
        self._most = most
        self._find = find
        self.lanes: list[_Lane] = []

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        return await self._lane().call(envelope)

    def _lane(self) -> _Lane:
        """The least busy host; another one joins when all are busy."""
        least = min(self.lanes, key=lambda lane: lane.in_hand, default=None)
        if least is None or (least.in_hand >= BUSY and len(self.lanes) < self._most):
            number = len(self.lanes)
            name = self._name + (f"#{number + 1}" if number else "")
            least = _Lane(name, self._find(name))
            self.lanes.append(least)
        return least


class _Lane:
    """One host. A call stays in its lane until it ends, so that a restarted host knows its own lost attempts."""

    def __init__(self, name: str, host: HostRef) -> None:
        self.name = name
        self._host = host
        self._direct = Direct(host, "poll")
        self._client = uuid.uuid4().hex
        self._next = 0
        self._open: dict[int, _Call] = {}
        self._fresh: list[int] = []
        """Calls that were not sent yet."""
        self._cancelled: list[int] = []
        self._flushing: asyncio.Handle | None = None
        self._polls: dict[asyncio.Task[None], int] = {}
        """Each with the number of its talk."""
        self._talk = 0
        """Counts how often the two began to talk."""
        self._begun = False
        """Whether the host was told what is in hand since."""
        self._resting = False
        self._pause = FIRST_PAUSE

    @property
    def in_hand(self) -> int:
        return len(self._open)

    @property
    def _is_polling(self) -> bool:
        """Whether a poll waits at the host. One of an older talk may be lost."""
        return self._talk in self._polls.values()

    @property
    def _has_sent_calls(self) -> bool:
        """Whether the host should have something to tell."""
        return any(number not in self._fresh and not call.ended.done() for number, call in self._open.items())

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        loop = asyncio.get_running_loop()
        number, self._next = self._next, self._next + 1
        call = self._open[number] = _Call(envelope, loop.create_future(), loop.time() + envelope.within)
        self._fresh.append(number)
        self._flush_soon()
        try:
            # The host keeps the deadline itself; the moment more is for its answer to arrive.
            async with asyncio.timeout(envelope.within + 30):
                return await call.ended
        except TimeoutError:
            self._cancel(number)
            raise ClusterError(f"{self.name} did not answer a call within {envelope.within:.0f} s") from None
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            del self._open[number]

    def _cancel(self, number: int) -> None:
        """Tell the host that nobody waits for the call any more; its attempt is ended there."""
        if number in self._fresh:
            self._fresh.remove(number)
        else:
            self._cancelled.append(number)
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Calls of one turn of the event loop travel together."""
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        if self._resting:
            return
        waiting = {number: None for number, call in self._open.items() if not call.ended.done()}
        fresh = [number for number in self._fresh if number in waiting]
        cancelled = tuple(number for number in self._cancelled if number not in waiting)
        self._fresh, self._cancelled = [], []
        in_hand: tuple[int, ...] | None = None
        if not waiting and not cancelled:
            return
        if not self._begun or (not self._is_polling and len(fresh) == len(waiting)):
            self._begun, fresh, in_hand = True, list(waiting), tuple(waiting)
        elif self._is_polling and not fresh and not cancelled:
            return
        self._send(fresh[:BATCH], cancelled, in_hand)
        for start in range(BATCH, len(fresh), BATCH):
            self._send(fresh[start : start + BATCH])

    def _send(self, fresh: list[int], cancelled: tuple[int, ...] = (), in_hand: tuple[int, ...] | None = None) -> None:
        calls = {number: self._open[number].message() for number in fresh}
        poll = Poll(
            client=self._client,
            talk=self._talk,
            before=self._next,
            calls=calls,
            cancelled=cancelled,
            in_hand=in_hand,
        )
        try:
            payload = poll.model_dump_json().encode()
        except ValueError as error:
            self._send_apart(fresh, cancelled, in_hand, error)
            return
        task = asyncio.create_task(self._poll(poll, payload))
        self._polls[task] = self._talk
        task.add_done_callback(self._came_back)

    def _send_apart(
        self, fresh: list[int], cancelled: tuple[int, ...], in_hand: tuple[int, ...] | None, error: ValueError
    ) -> None:
        """One of the calls cannot be written down: the others must not suffer for it."""
        if len(fresh) == 1 and in_hand is None and not cancelled:
            self._end(fresh, f"a call cannot be sent to {self.name}: {' '.join(str(error).split())[:200]}")
            return
        self._send([], cancelled, in_hand)
        for number in fresh:
            self._send([number])

    def _came_back(self, task: asyncio.Task[None]) -> None:
        del self._polls[task]
        if self._open and not self._is_polling:
            self._flush_soon()

    async def _poll(self, poll: Poll, payload: bytes) -> None:
        try:
            with self._host.waiting():
                async with asyncio.timeout(2 * HOLD_SECONDS):
                    answer = await self._direct.ask(payload)
            endings = Endings.model_validate_json(answer)
        except (RayTaskError, ValidationError) as error:
            self._fail(poll, f"{self.name} failed: {' '.join(str(error).split())[:300]}")
        except (RayError, OSError, ClientError, ValueError) as error:
            await self._lost(poll, error)
        except Exception as error:
            self._fail(poll, f"{self.name} could not be used: {type(error).__name__}: {error}")
        else:
            await self._answered(poll, endings)

    async def _answered(self, poll: Poll, endings: Endings) -> None:
        if endings.stranger:
            await self._begin_anew(poll, ConnectionError(f"{self.name} was started anew"))
            return
        if endings.fault:
            self._fail(poll, f"{self.name} cannot read what it is sent: {endings.fault}")
        for ending in endings.endings:
            self._pause = FIRST_PAUSE
            self._hand_out(ending)
        if endings.idle and list(self._polls.values()).count(self._talk) == 1 and self._has_sent_calls:
            # This was the only poll: what it left open is known to nobody.
            await self._begin_anew(poll, ConnectionError(f"{self.name} has lost what it was sent"))

    async def _lost(self, poll: Poll, error: Exception) -> None:
        """A poll did not come back. Whatever it cancelled may still be under way."""
        self._cancelled.extend(poll.cancelled)
        if poll.cancelled:
            self._flush_soon()
        await self._begin_anew(poll, error)

    async def _begin_anew(self, poll: Poll, error: Exception) -> None:
        """The host, or the way to it, was lost: ask for everything again. The ledger decides what is bought again."""
        if poll.talk != self._talk:
            return  # that was done when the first poll of its talk was lost
        self._talk += 1
        self._begun, self._resting = False, True
        self._host.forget()
        self._expire(error)
        await asyncio.sleep(jittered(self._pause))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._resting = False
        self._flush_soon()

    def _expire(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        late = [number for number, call in self._open.items() if call.deadline <= now]
        self._end(late, f"{self.name} did not come back in time: {' '.join(str(error).split())[:200]}")

    def _fail(self, poll: Poll, text: str) -> None:
        """End the calls of a poll that cannot be answered; where it brought none, all that wait for an answer."""
        if poll.talk == self._talk:
            numbers = list(poll.calls or self._open)
            self._end(numbers, text)
            self._cancelled.extend(numbers)

    def _end(self, numbers: list[int], text: str) -> None:
        for number in numbers:
            call = self._open.get(number)
            if call is not None and not call.ended.done():
                call.ended.set_exception(ClusterError(text))

    def _hand_out(self, ending: Ending) -> None:
        """Give an ending to whoever waits for it."""
        call = self._open.get(ending.number)
        if call is None or call.ended.done():
            return
        try:
            call.ended.set_result(ending.result())
        except Exception as error:
            call.ended.set_exception(error)


def _provider(backend: str) -> str:
    name = split_name(backend)
    if name is None:
        raise UnknownBackend(f"unknown backend {backend!r}; give provider/model")
    return name.provider
