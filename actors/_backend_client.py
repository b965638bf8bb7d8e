"""How hosts reach models: calls of one event-loop turn travel as one message, answers stream back.

| object | role | lifetime |
|---|---|---|
| `BackendClient` | takes calls, sends them to the host of their provider | the host or run that makes calls |
| `_Fleet` | the hosts of one provider, more of them under load | the client |
| `_Lane` | one host: what waits to be sent to it, what it has in hand | the client |
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from ray.exceptions import RayActorError, RayError

from bessemer.actors._calls import BudgetRefused, CallEnvelope, endings_json, envelopes_json
from bessemer.actors._hosts import backend_ref
from bessemer.actors._wire import HostRef, encode
from bessemer.actors.backends.base import split_name
from bessemer.actors.batch import has_batches
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.durations import jittered
from bessemer.cluster.errors import Cancelled, ClusterError, UnknownBackend
from bessemer.cluster.home import Home
from bessemer.cluster.ledger.operations import Outcome

BUSY = 256
"""Calls in hand from which a provider gets another host: one carries so many while they wait, and two share less."""
MOST_HOSTS = 4
BATCH = 64
"""Most calls in one message: the host begins with them while the next ones are made ready."""

FindHost = Callable[[str], HostRef]


@dataclass
class _Call:
    envelope: CallEnvelope
    ended: asyncio.Future[Outcome | BudgetRefused]
    deadline: float
    """Loop time."""


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
        self.in_hand = 0
        self._host = host
        self._waiting: list[_Call] = []
        self._flushing = False
        self._batches: set[asyncio.Task[None]] = set()

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        loop = asyncio.get_running_loop()
        call = _Call(envelope, loop.create_future(), loop.time() + envelope.within)
        self.in_hand += 1
        self._put(call)
        try:
            # The host keeps the deadline itself; the moment more is for its answer to arrive.
            async with asyncio.timeout(envelope.within + 30):
                return await call.ended
        except TimeoutError:
            raise ClusterError(f"{self.name} did not answer a call within {envelope.within:.0f} s") from None
        except asyncio.CancelledError:
            self._cancel(call)
            raise
        finally:
            self.in_hand -= 1

    def _put(self, call: _Call) -> None:
        self._waiting.append(call)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        calls, self._waiting = [call for call in self._waiting if not call.ended.done()], []
        for start in range(0, len(calls), BATCH):
            task = asyncio.create_task(self._carry(calls[start : start + BATCH]))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _carry(self, calls: list[_Call]) -> None:
        """Bring a batch to its end, over as many incarnations of the host as it takes."""
        pause = 0.1
        while calls := [call for call in calls if not call.ended.done()]:
            try:
                await self._exchange(calls)
                pause = 0.1
            except (RayActorError, ConnectionError, ValueError) as error:
                self._host.forget()
                self._expire(calls, error)
                calls = [_Call(_lost(call.envelope, self.name), call.ended, call.deadline) for call in calls]
                await asyncio.sleep(jittered(pause))
                pause = min(2 * pause, 2.0)
            except RayError as error:
                self._fail(calls, ClusterError(f"{self.name} failed: {' '.join(str(error).split())[:300]}"))
            except Exception as error:
                self._fail(calls, ClusterError(f"{self.name} could not be used: {type(error).__name__}: {error}"))

    async def _exchange(self, calls: list[_Call]) -> None:
        now = asyncio.get_running_loop().time()
        batch = [
            call.envelope.model_copy(update={"within": max(call.deadline - now, 0.001)})
            if call.deadline - now < call.envelope.within
            else call.envelope
            for call in calls
        ]
        handle = await self._host.handle()
        with self._host.waiting():
            stream = handle.submit.options(num_returns="streaming").remote(envelopes_json.dump_json(batch))
            async for reference in stream:
                _hand_out(calls, await reference)
        if any(not call.ended.done() for call in calls):
            raise ConnectionError(f"{self.name} ended its answer early")

    def _expire(self, calls: list[_Call], error: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        late = [call for call in calls if call.deadline <= now]
        self._fail(late, ClusterError(f"{self.name} did not come back in time: {' '.join(str(error).split())[:200]}"))

    @staticmethod
    def _fail(calls: list[_Call], error: ClusterError) -> None:
        for call in calls:
            if not call.ended.done():
                call.ended.set_exception(error)

    def _cancel(self, call: _Call) -> None:
        """Tell the host that nobody waits for the call any more; its attempt is ended there."""
        if call in self._waiting:
            self._waiting.remove(call)
            return
        task = asyncio.get_running_loop().create_task(self._send_cancel(str(call.envelope.key)))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _send_cancel(self, key: str) -> None:
        with contextlib.suppress(RayError, ConnectionError, ValueError, Cancelled, TimeoutError):
            handle = await self._host.handle()
            await asyncio.wait_for(handle.cancel.remote(encode([key])), 30)


def _hand_out(calls: list[_Call], endings: bytes) -> None:
    """Give a message's endings to whoever waits for them."""
    for ending in endings_json.validate_json(endings):
        ended = calls[ending.number].ended
        if ended.done():
            continue
        try:
            ended.set_result(ending.result())
        except Exception as error:
            ended.set_exception(error)


def _lost(envelope: CallEnvelope, host: str) -> CallEnvelope:
    if host in envelope.lost_hosts:
        return envelope
    return envelope.model_copy(update={"lost_hosts": (*envelope.lost_hosts, host)})


def _provider(backend: str) -> str:
    name = split_name(backend)
    if name is None:
        raise UnknownBackend(f"unknown backend {backend!r}; give provider/model")
    return name.provider
