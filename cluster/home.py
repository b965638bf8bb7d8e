"""A home: one state directory with its ledger, its lake and the settings its hosts work under."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bessemer.cluster.canonical import content_hash


class Home(BaseModel):
    """Where things are and how hosts are set up. Travels to every host as JSON; holds no key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dir: str
    """Absolute path of `.bessemer`."""
    ledger_url: str
    lake_url: str
    settings: dict[str, Any]
    """The resolved settings as JSON."""
    code: str
    """`code_hash()` of who made this home: hosts that run other code get another namespace."""

    @property
    def lake_storage(self) -> dict[str, str]:
        """How the lake's object store is reached, beside what the environment says."""
        return dict(self.settings.get("lake", {}).get("storage", {}))

    @property
    def ledger_namespace(self) -> str:
        """Ray namespace of the one keeper and the one lake writer of this ledger."""
        return f"bessemer-ledger-{content_hash(self.ledger_url)[:12]}"

    @property
    def host_namespace(self) -> str:
        """Ray namespace of the hosts: those that share this ledger, these settings and this code."""
        return f"bessemer-hosts-{content_hash([self.ledger_url, self.state_dir, self.settings, self.code])[:12]}"

    def run_directory(self, run: str) -> Path:
        return Path(self.state_dir) / "runs" / run


def door_of(home: Home) -> str:
    """The sandbox that the home's settings ask for; `none` only where the user said so."""
    asked = home.settings.get("sandbox", {})
    return "none" if asked.get("disabled") else str(asked.get("door", "auto"))


STEERING_FOLDERS = ("cluster", "actors", "pipelines", "configs")
"""Code and data that decide which path a run takes; interfaces only start and show it."""


@functools.cache
def code_hash() -> str:
    """SHA-256 over the sources that steer a run, by relative path and content."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for folder in STEERING_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            # Files for Ray's launcher steer no run.
            if path.parent.name == "clusters":
                continue
            if path.suffix in {".py", ".md", ".yaml", ".json"} and path.is_file():
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
