"""What crosses Ray between hosts: bytes of JSON, and errors as data.

A host's method takes bytes and returns bytes; `reply` turns what it returns or raises into an envelope and `ask` opens
it on the other side. Exceptions never cross as exceptions, because many do not survive pickling.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    GetTimeoutError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
)

from bessemer.actors._pulse import SILENT_SECONDS, Pulse
from bessemer.cluster.durations import jittered
from bessemer.cluster.errors import (
    BessemerError,
    Cancelled,
    ClusterError,
    InfrastructureError,
    LedgerUnavailable,
    error_named,
)

Handler = Callable[[Any, bytes], Awaitable[Any]]

MESSAGES = 100_000
"""Messages that a host has in hand at most. Ray's own limit is 1,000, and what comes after those waits unseen: a
thousand reviews would keep a cancellation out, and the question whether the host is there."""
FIND_SECONDS = 60.0
"""How long Ray may take to say where a host is."""


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def decode(raw: bytes) -> Any:
    return json.loads(raw)


def reply(method: Handler) -> Callable[[Any, bytes], Awaitable[bytes]]:
    """Make a host's method answer with an envelope: `{"ok": value}` or `{"error": …}`."""

    @functools.wraps(method)
    async def wrapped(self: Any, payload: bytes) -> bytes:
        try:
            return encode({"ok": await method(self, payload)})
        except BessemerError as error:
            return encode({"error": type(error).__name__, "message": error.message, "facts": error.facts})
        except asyncio.CancelledError:
            return encode({"error": Cancelled.__name__, "message": "the work was cancelled", "facts": {}})
        except Exception as error:
            text = f"{method.__qualname__} failed with {type(error).__name__}: {error}"
            return encode({"error": InfrastructureError.__name__, "message": " ".join(text.split()), "facts": {}})

    return wrapped


class HostRef:
    """A host by name: survives its restarts, and makes it again where it is gone. Belongs to one event loop."""

    def __init__(
        self, name: str, find: Callable[[], Any], *, patience: float = 0.0, silence: float = SILENT_SECONDS
    ) -> None:
        """A host with `patience` is asked again for so many seconds where it answers that the ledger is away.

        One that is waited for and answers nothing for `silence` seconds is ended, and Ray starts it anew.
        """
        self.name = name
        self.patience = patience
        self._find = find
        self._handle: Any = None
        self._pulse = Pulse(self, silence)

    async def handle(self) -> Any:
        """Its handle. Raises ConnectionError where Ray does not say within a minute where the host is."""
        if self._handle is None:
            try:
                self._handle = await asyncio.wait_for(asyncio.to_thread(self._find), FIND_SECONDS)
            except TimeoutError:
                raise ConnectionError(f"Ray did not find {self.name} within {FIND_SECONDS:.0f} s") from None
        return self._handle

    async def send(self, method: str, payload: bytes) -> bytes:
        """One message to one of its methods, and the answer. Raises what Ray raises."""
        handle = await self.handle()
        answer: bytes = await getattr(handle, method).remote(payload)
        return answer

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Watch over the host while the block waits for its answer."""
        return self._pulse.waiting()

    def make(self) -> None:
        """Find or make the host now, so that it starts while its user does."""
        with contextlib.suppress(RayError, ValueError, ConnectionError):
            self._handle = self._find()

    def forget(self) -> None:
        """Look the host up again before the next message."""
        self._handle = None


async def ask(host: HostRef, method: str, payload: bytes, *, within: float) -> Any:
    """Send one message and return the answer's value; raises the error the host answered with.

    A host that died is asked again until `within` seconds are over: only idempotent messages may travel this way,
    and every message of Bessemer is one, because the ledger decides what is done again. Raises ClusterError at the
    deadline.
    """
    deadline = time.monotonic() + within
    patient_until = time.monotonic() + max(within, host.patience)
    pause = 0.1
    while True:
        left = deadline - time.monotonic()
        try:
            with host.waiting():
                async with asyncio.timeout(max(left, 0.1)):
                    raw = await host.send(method, payload)
        except (RayActorError, ActorUnschedulableError, ConnectionError, ValueError) as error:
            host.forget()
            if time.monotonic() + pause > deadline:
                raise ClusterError(f"{host.name} did not come back within {within:.0f} s: {_line(error)}") from None
        except (GetTimeoutError, TimeoutError):
            raise ClusterError(f"{host.name} did not answer {method} within {within:.0f} s") from None
        except (RayTaskError, TaskCancelledError) as error:
            raise ClusterError(f"{host.name} failed in {method}: {_line(error)}") from None
        else:
            try:
                return opened(raw)
            except LedgerUnavailable:
                if not host.patience or time.monotonic() + pause > patient_until:
                    raise
                deadline = max(deadline, min(time.monotonic() + within, patient_until))
        await asyncio.sleep(jittered(pause))
        pause = min(pause * 2, 2.0)


def opened(raw: bytes) -> Any:
    """The value in a reply's envelope; raises the error that is in it instead."""
    envelope = decode(raw)
    if "error" in envelope:
        raise error_named(envelope["error"], envelope["message"], envelope["facts"])
    return envelope["ok"]


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def find_or_make(
    actor: Any, name: str, namespace: str, *arguments: Any, where: Callable[[], dict[str, Any]] = dict
) -> Callable[[], Any]:
    """How a HostRef finds its host: the named detached actor, made where `where` says if there is none."""

    def find() -> Any:
        made = actor.options(name=name, namespace=namespace, lifetime="detached", get_if_exists=True, **where())
        return made.remote(*arguments)

    return find


def find_only(name: str, namespace: str) -> Callable[[], Any]:
    """How a watcher finds a host it must not make. The lookup raises ValueError where there is none."""
    return lambda: ray.get_actor(name, namespace=namespace)
