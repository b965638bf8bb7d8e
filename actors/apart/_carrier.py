"""How a commit gets from one machine to another: in the message itself, or through the place of `workspace.url`.

Where that place refuses, the message carries it all the same, as far as a message goes.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bessemer.cluster.errors import WorkspaceError
from bessemer.cluster.home import Home
from bessemer.cluster.settings import WorkspaceSettings
from bessemer.cluster.workspace import Repository, SnapshotStore, pack, pack_into, unpack, unpack_from

_log = logging.getLogger(__name__)

FORGET_SECONDS = 15.0
"""How long an ended run waits for its snapshots to be removed."""


class Bundle(BaseModel):
    """A commit with what it needs, or the name of where that is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pack: str = ""
    """A git pack in base64."""
    stored: str = ""
    """Its name under `workspace.url`."""


class StoreUnread(WorkspaceError):
    """What was stored cannot be read from this machine."""


def store_of(home: Home) -> SnapshotStore | None:
    """The place through which a home's work travels; None where messages carry it. Raises SettingsError."""
    settings = WorkspaceSettings.model_validate(home.settings.get("workspace", {}))
    return SnapshotStore(settings.url, settings.storage) if settings.url else None


class Carrier:
    """What takes the commits of a home's runs along."""

    def __init__(self, home: Home) -> None:
        self._store = store_of(home)

    async def bundle(self, repository: Repository, run: str, commit: str, without: str = "") -> Bundle:
        """`commit` and all it needs, apart from what `without` needs. Raises WorkspaceError."""
        if self._store is None:
            return await self.message(repository, commit, without)
        name = f"{run}/{commit}{f'-{without}' if without else ''}.pack"
        try:
            await self._keep(self._store, name, repository, commit, without)
        except WorkspaceError as error:
            _log.warning("commit %s travels in a message: %s", commit[:12], error.message)
            return await self.message(repository, commit, without)
        return Bundle(stored=name)

    async def message(self, repository: Repository, commit: str, without: str = "") -> Bundle:
        """The same in the message. Raises WorkspaceError over 100 MiB."""
        packed = await pack(repository, commit, without=without)
        return Bundle(pack=base64.b64encode(packed).decode())

    async def unbundle(self, repository: Repository, commit: str, bundle: Bundle) -> None:
        """Take a commit in. Raises WorkspaceError where it is damaged, StoreUnread where it cannot be read."""
        if not bundle.stored:
            await unpack(repository, commit, base64.b64decode(bundle.pack))
            return
        if self._store is None:
            raise StoreUnread(f"{bundle.stored} was stored and no workspace.url is set here; set the same everywhere")
        with tempfile.TemporaryDirectory(prefix="bsm-pack-") as folder:
            path = Path(folder) / "pack"
            try:
                await asyncio.to_thread(self._store.get, bundle.stored, path)
            except WorkspaceError as error:
                raise StoreUnread(error.message) from None
            await unpack_from(path, repository, commit)

    async def forget(self, run: str) -> None:
        """Remove what an ended run kept. What cannot be removed now is removed a week later."""
        if self._store is None:
            return
        try:
            await asyncio.wait_for(asyncio.to_thread(self._store.forget, run), FORGET_SECONDS)
        except (WorkspaceError, TimeoutError) as error:
            _log.warning("the work of run %s stays for a week: %s", run, error)

    async def _keep(self, store: SnapshotStore, name: str, repository: Repository, commit: str, without: str) -> None:
        if await asyncio.to_thread(store.has, name):
            return
        with tempfile.TemporaryDirectory(prefix="bsm-pack-") as folder:
            path = Path(folder) / "pack"
            await pack_into(path, repository, commit, without)
            await asyncio.to_thread(store.put, name, path)
