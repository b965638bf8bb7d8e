"""An outbox in memory that can fail, as the ledger's can."""

from __future__ import annotations

import json
from typing import Any

from bessemer.cluster.records import EventRecord


class Outbox:
    """Rows wait here. While `broken`, deleting them raises, as when the process dies after the append."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, str]] = []
        self.broken = False
        self._seq = 0

    def put(self, table: str, row: dict[str, Any] | str) -> int:
        self._seq += 1
        self.rows.append((self._seq, table, row if isinstance(row, str) else json.dumps(row)))
        return self._seq

    def put_events(self, *texts: str) -> None:
        for text in texts:
            record = EventRecord(kind="test", text=text).to_lake()
            self.put(record.table, record.row)

    async def read_outbox(self, limit: int) -> list[tuple[int, str, str]]:
        return self.rows[:limit]

    async def delete_outbox(self, upto: int) -> None:
        if self.broken:
            raise ConnectionError("the ledger went away")
        self.rows = [row for row in self.rows if row[0] > upto]
