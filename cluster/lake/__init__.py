"""The lake: Delta tables that analysis reads, fed from the ledger's outbox exactly once."""

from bessemer.cluster.lake._publish import OutboxSource, Publisher
from bessemer.cluster.lake._query import Lake
from bessemer.cluster.lake._schemas import arrow_schema, schema_snapshot

__all__ = ["Lake", "OutboxSource", "Publisher", "arrow_schema", "schema_snapshot"]
