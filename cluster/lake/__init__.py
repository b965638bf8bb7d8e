"""The lake: Delta tables that analysis reads, fed from the ledger's outbox exactly once."""

from bessemer.cluster.lake._publish import BATCH, OutboxSource, Publisher
from bessemer.cluster.lake._query import Lake
from bessemer.cluster.lake._schemas import arrow_schema, schema_snapshot

__all__ = ["BATCH", "Lake", "OutboxSource", "Publisher", "arrow_schema", "schema_snapshot"]
