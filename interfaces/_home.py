"""The home that settings describe. Needs no Ray, so that commands which only read answer at once."""

from __future__ import annotations

import os
from pathlib import Path

from bessemer.cluster.files import writable_directory
from bessemer.cluster.home import Home, code_hash
from bessemer.cluster.settings import Settings
from bessemer.cluster.telemetry import settled


def home_of(settings: Settings) -> Home:
    """The home that these settings describe. Raises StateUnwritable where its directory cannot be written."""
    state = writable_directory(settings.state_dir)
    return Home(
        state_dir=str(state),
        ledger_url=settings.ledger.url or f"sqlite:///{state / 'ledger.db'}",
        lake_url=settings.lake.url or str(state / "lake"),
        settings=_placed(settings).model_dump(mode="json"),
        code=code_hash(),
    )


def _placed(settings: Settings) -> Settings:
    """With folders that hosts find: they work elsewhere and under another environment."""
    backends = settings.backends
    if (url := settings.workspace.url) and "://" not in url:
        workspace = settings.workspace.model_copy(update={"url": str(Path(url).expanduser().absolute())})
        settings = settings.model_copy(update={"workspace": workspace})
    directory = backends.replay.directory or os.environ.get("BESSEMER_REPLAY", "")
    settings = settings.model_copy(update={"telemetry": settled(settings.telemetry)})
    if not (backends.record or directory):
        return settings
    record = str(writable_directory(Path(backends.record))) if backends.record else ""
    replay = backends.replay.model_copy(update={"directory": str(Path(directory).expanduser().absolute())})
    update = {"record": record, "replay": replay if directory else backends.replay}
    return settings.model_copy(update={"backends": backends.model_copy(update=update)})
