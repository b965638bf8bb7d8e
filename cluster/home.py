"""A home: one state directory with its ledger, its lake and the settings its hosts work under."""

from __future__ import annotations

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

    @property
    def ledger_namespace(self) -> str:
        """Ray namespace of the one keeper and the one lake writer of this ledger."""
        return f"bessemer-ledger-{content_hash(self.ledger_url)[:12]}"

    @property
    def host_namespace(self) -> str:
        """Ray namespace of the hosts: those that share this ledger and these settings."""
        return f"bessemer-hosts-{content_hash([self.ledger_url, self.state_dir, self.settings])[:12]}"

    def run_directory(self, run: str) -> Path:
        return Path(self.state_dir) / "runs" / run
