"""The desk of a cluster as this machine speaks to it, through Ray Client."""

from __future__ import annotations

import base64
import contextlib
import getpass
import re
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bessemer.actors._wire import encode, opened
from bessemer.cluster import ray_session
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.home import code_hash
from bessemer.cluster.workspace import States

ANSWER_SECONDS = 300.0
"""How long the desk may take for one message: a parcel over a slow link, or the reading of a large folder."""


class Client:
    """One folder's connection."""

    def __init__(self, address: str, desk: Any, folder: Path) -> None:
        self._address = address
        self._desk = desk
        self.key = folder_key(folder)
        self.place = ""
        """The folder's copy, on the head."""

    @classmethod
    @contextlib.contextmanager
    def connected(cls, address: str, folder: Path) -> Iterator[Client]:
        """Raises ClusterError, in one line, where the cluster cannot be reached, or runs other code."""
        ray_session.connect(address)
        try:
            client = cls(address, _desk(address), folder)
            root = client.ask("greet", version=version("bessemer"), code=code_hash())
            client.place = f"{root}/{client.key}/work"
            yield client
        finally:
            ray_session.leave()

    def ask(self, method: str, **message: Any) -> Any:
        """The desk's answer. Raises what it answered with, ClusterError where it does not answer."""
        import ray

        payload = encode({"folder": self.key, **message})
        try:
            raw = ray.get(getattr(self._desk, method).remote(payload), timeout=ANSWER_SECONDS)
        except (ray.exceptions.RayError, ConnectionError, TimeoutError) as error:
            raise ClusterError(
                f"the connection to {self._address} was lost ({type(error).__name__}); a command that was begun goes "
                "on there, and the next one from this folder fetches what it wrote"
            ) from None
        return opened(raw)

    def look(self) -> tuple[dict[str, States], bool]:
        """`sent`, `baseline` and `now`, and whether a command is under way."""
        found = self.ask("look")
        return found, bool(found.pop("busy"))

    def start(self, arguments: list[str], environment: dict[str, str]) -> str:
        command: str = self.ask("start", arguments=arguments, environment=environment)
        return command

    def interrupt(self, command: str) -> None:
        self.ask("interrupt", command=command)

    def output(self, command: str, read: dict[str, int]) -> tuple[dict[str, bytes], int | None]:
        """What it wrote since, by stream, and its exit code once everything was told."""
        found = self.ask("output", command=command, **read)
        return {name: base64.b64decode(found[name]) for name in read}, found["ended"]


def folder_key(folder: Path) -> str:
    """What a folder of this machine and user is called there; the same each time."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:40] or "folder"
    return f"{name}-{content_hash([socket.gethostname(), getpass.getuser(), str(folder.resolve())])[:16]}"


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
    try:
        desk = Desk.options(**options).remote()  # type: ignore[attr-defined]
        ray.get(desk.__ray_ready__.remote(), timeout=ANSWER_SECONDS)
    except Exception as error:
        why = " ".join(str(error).split())
        if "No module named" in why or "ModuleNotFoundError" in why:
            why = "Bessemer is not installed there; install the same version as here"
        raise ClusterError(f"the cluster at {address} has no desk for commands: {why[:300]}") from None
    return desk
