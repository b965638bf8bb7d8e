"""The desk of a cluster as this machine speaks to it, through Ray Client."""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import queue
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from bessemer.actors._wire import encode, opened
from bessemer.cluster import ray_session
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.home import code_hash
from bessemer.cluster.workspace import States

T = TypeVar("T")

ANSWER_SECONDS = 300.0
"""How long the desk may take for one message: a parcel over a slow link, or the reading of a large folder."""
BACK_SECONDS = 60.0
"""How long a desk that died is waited for."""
CONNECT_SECONDS = 180.0
"""Ray gives up earlier itself, unless what answers is not all of it."""


class Client:
    """One folder's connection."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._desk = _desk(address)
        self._session = secrets.token_hex(16)
        self.key = folder_key(folder)
        self.place = ""
        """The folder's copy, on the head."""

    @classmethod
    @contextlib.contextmanager
    def connected(cls, address: str, folder: Path) -> Iterator[Client]:
        """Raises ClusterError, in one line, where the cluster cannot be reached, or runs other code."""
        _within(CONNECT_SECONDS, lambda: ray_session.connect(address), f"Ray at {address}")
        try:
            client = cls(address, folder)
            client.place = f"{client._greeted()}/{client.key}/work"
            yield client
        finally:
            ray_session.leave()

    def _greeted(self) -> str:
        """Where copies are. A desk that is older than what is installed there now is ended, and another one asked."""
        message = {"version": version("bessemer"), "code": code_hash()}
        try:
            return str(self.ask("greet", **message))
        except ClusterError:
            import ray

            ray.kill(self._desk)
            self._desk = _desk(self._address)
            return str(self.ask("greet", **message))

    def ask(self, method: str, **message: Any) -> Any:
        """The desk's answer. Raises what it answered with, ClusterError where it does not answer.

        A desk that died is asked again, except to begin a command: that may have been begun.
        """
        import ray

        payload = encode({"folder": self.key, "session": self._session, **message})
        until = time.monotonic() + (0.0 if method == "start" else BACK_SECONDS)
        while True:
            try:
                asked = getattr(self._desk, method)
                raw = _within(ANSWER_SECONDS, lambda: ray.get(asked.remote(payload)), "the cluster's desk")  # noqa: B023
            except ray.exceptions.RayActorError as error:
                if time.monotonic() > until:
                    raise self._lost(error) from None
                time.sleep(1.0)
            except (ray.exceptions.RayError, ConnectionError) as error:
                raise self._lost(error) from None
            else:
                return opened(raw)

    def _lost(self, error: Exception) -> ClusterError:
        return ClusterError(
            f"the connection to {self._address} was lost ({type(error).__name__}); a command that was begun goes on "
            "there, and the next one from this folder fetches what it wrote"
        )

    def look(self) -> tuple[dict[str, States], bool]:
        """`sent`, `baseline` and `now`, and whether a command is under way."""
        found = self.ask("look")
        return found, bool(found.pop("busy"))

    def start(self, arguments: list[str], environment: dict[str, str], work: dict[str, Any]) -> tuple[str, bool]:
        """The number of the command that was begun, and whether the copy was brought up to date for it."""
        found = self.ask("start", arguments=arguments, environment=environment, **work)
        return found["command"], found["synced"]

    def interrupt(self, command: str) -> None:
        self.ask("interrupt", command=command)

    def output(self, command: str, read: dict[str, int]) -> tuple[dict[str, bytes], int | None]:
        """What it wrote since, by stream, and its exit code once everything was told."""
        found = self.ask("output", command=command, **read)
        return {name: base64.b64decode(found[name]) for name in read}, found["ended"]


def folder_key(folder: Path) -> str:
    """What a folder of this machine and user is called there; the same each time."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:40] or "folder"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{name}-{content_hash([socket.gethostname(), user, str(folder.resolve())])[:16]}"


def _desk(address: str) -> Any:
    import ray

    from bessemer.actors._placement import HEAD
    from bessemer.actors.desk import Desk

    options = {
        "name": "desk",
        "namespace": f"bessemer-desk-{code_hash()[:12]}",
        "lifetime": "detached",
        "get_if_exists": True,
        "resources": {HEAD: 0.001},
    }

    def made() -> Any:
        desk = Desk.options(**options).remote()  # type: ignore[attr-defined]
        ray.get(desk.__ray_ready__.remote())
        return desk

    try:
        return _within(ANSWER_SECONDS, made, "the cluster's desk")
    except ClusterError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        if "No module named" in why or "ModuleNotFoundError" in why:
            why = "Bessemer is not installed there; install the same version as here"
        raise ClusterError(f"the cluster at {address} has no desk for commands: {why[:300]}") from None


def _within(seconds: float, call: Callable[[], T], who: str) -> T:
    """What `call` returns or raises; ClusterError after `seconds`. Some waits of Ray Client know no end."""
    ended: queue.Queue[tuple[bool, Any]] = queue.Queue()

    def work() -> None:
        try:
            ended.put((True, call()))
        except BaseException as error:
            ended.put((False, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        fine, result = ended.get(timeout=seconds)
    except queue.Empty:
        raise ClusterError(f"{who} did not answer within {seconds:.0f} s") from None
    if fine:
        answer: T = result
        return answer
    raise result
