"""Where a test's lake is: a folder, or a prefix in an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bessemer.cluster.lake import Lake, Publisher
from tests.lake._outbox import Outbox

if TYPE_CHECKING:
    from deltalake import DeltaTable


class Site(NamedTuple):
    url: str
    storage: dict[str, str]

    def lake(self) -> Lake:
        return Lake(self.url, self.storage)

    def publisher(self, outbox: Outbox, keeper: str = "0") -> Publisher:
        return Publisher(self.url, "ledger", keeper, outbox, self.storage)

    def delta(self, table: str) -> DeltaTable:
        """The table as the Delta library sees it, without anything of ours between."""
        from deltalake import DeltaTable

        return DeltaTable(f"{self.url}/{table}", storage_options=self.storage or None)

    def texts(self) -> list[str]:
        return sorted(self.lake().table("events").column("text").to_pylist())
