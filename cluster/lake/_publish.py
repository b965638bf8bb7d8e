"""From the ledger's outbox to the Delta tables, each row exactly once.

Every append carries an application transaction: app id = ledger, keeper and table; version = the last sequence number
in it. What a table's version already covers is skipped, so a crash between append and delete repeats nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bessemer.cluster.durations import jittered
from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake._place import Place
from bessemer.cluster.lake._schemas import PARTITION, arrow_rows, arrow_schema, described, lake_row
from bessemer.cluster.records import EventRecord, QuarantineRecord

if TYPE_CHECKING:
    from deltalake import DeltaTable

BATCH = 5_000
"""Most rows of one turn."""
CONFLICT_TRIES = 20


class OutboxSource(Protocol):
    """Where rows wait: sequence number (rising, never reused), table, row as JSON."""

    async def read_outbox(self, limit: int) -> list[tuple[int, str, str]]: ...

    async def delete_outbox(self, upto: int) -> None: ...


class _Row(NamedTuple):
    seq: int
    row: dict[str, Any]


class Publisher:
    """The one publisher of one keeper's outbox."""

    def __init__(
        self,
        lake_url: str,
        ledger_uuid: str,
        keeper: str,
        source: OutboxSource,
        storage: Mapping[str, str] | None = None,
    ) -> None:
        self._place = Place(lake_url, storage)
        self._app = f"{ledger_uuid}:{keeper}"
        self._source = source

    async def publish_once(self) -> int:
        """Publish the oldest waiting rows; returns how many left the outbox. Raises LakeError."""
        waiting = await self._source.read_outbox(BATCH)
        if not waiting:
            return 0
        await asyncio.to_thread(self._append_all, waiting)
        await self._source.delete_outbox(waiting[-1][0])
        return len(waiting)

    def _append_all(self, waiting: list[tuple[int, str, str]]) -> None:
        tables: dict[str, list[_Row]] = defaultdict(list)
        for seq, table, text in waiting:
            for name, row in self._sorted_out(seq, table, text):
                tables[name].append(_Row(seq, row))
        for table, rows in tables.items():
            self._append(table, rows)

    def _sorted_out(self, seq: int, table: str, text: str) -> list[tuple[str, dict[str, Any]]]:
        """The row in its table; one that its table cannot take goes to `quarantine`, and an event says so."""
        try:
            return [(table, lake_row(table, json.loads(text)))]
        except (ValueError, KeyError, OverflowError, RecursionError) as error:
            named = f"the lake has no table {table!r}" if isinstance(error, KeyError) else str(error)
            why = _storable(" ".join(named.split())[:300])
        aside = QuarantineRecord(
            publisher=self._app, seq=seq, intended_table=_storable(table), reason=why, row=_storable(text)
        )
        event = EventRecord(kind="quarantined_row", text=f"row {seq} for table {aside.intended_table!r}: {why}")
        # Both are of the row's own sequence number, so that a retry repeats neither.
        return [(record.table, lake_row(record.table, record.model_dump())) for record in (aside, event)]

    def _append(self, table: str, rows: list[_Row]) -> None:
        from deltalake.exceptions import CommitFailedError

        for _ in range(CONFLICT_TRIES):
            try:
                with self._place.troubles(table, "written"):
                    return _append_new(self._place, table, f"{self._app}:{table}", rows)
            except CommitFailedError:
                # Another writer was first: look again at what is there, a moment later than it does.
                time.sleep(jittered(0.05, 0.1))
        uri = self._place.uri(table)
        raise LakeError(f"the lake table {uri} is written by others all the time; rows wait in the ledger")


def _append_new(place: Place, table: str, app: str, rows: list[_Row]) -> None:
    """Append the rows above the table's version for `app`, on condition that it is still the one read."""
    from deltalake import CommitProperties, Transaction, write_deltalake

    there = place.find(table) or _create(place, table)
    known = there.transaction_version(app) or 0
    fresh = [one for one in rows if one.seq > known]
    if fresh:
        write_deltalake(
            there,
            arrow_rows(table, [one.row for one in fresh]),
            mode="append",
            schema_mode="merge",
            commit_properties=CommitProperties(app_transactions=[Transaction(app, fresh[-1].seq)]),
        )


def _create(place: Place, table: str) -> DeltaTable:
    from deltalake import DeltaTable

    uri = place.uri(table)
    DeltaTable.create(
        uri,
        arrow_schema(table),
        mode="ignore",
        partition_by=[PARTITION],
        name=table,
        description=described(),
        storage_options=place.options,
    )
    made = place.find(table)
    if made is None:
        raise LakeError(f"the lake table {uri} was made and is gone; is somebody deleting there?")
    return made


def _storable(text: str) -> str:
    """`text` as UTF-8 can hold it: half a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
