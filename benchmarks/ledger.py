"""Reserve and settle pairs a second with full durability, grouped and ungrouped, in one run. Prints JSON.

    python benchmarks/ledger.py [--callers 200] [--seconds 5] [--folder DIR]

Every caller is a coroutine that reserves a call and settles it, one after the other, through a LedgerClient and a
GroupCommit in this process, on SQLite with `synchronous=FULL`. The ungrouped figure commits each operation alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from bessemer.cluster.ledger import (
    GroupCommit,
    LakeRecord,
    Ledger,
    LedgerClient,
    OpenRun,
    Reserve,
    Reserved,
    Settle,
)

ANSWER = {"text": "The second test fails because the list is sorted in place. " * 4, "finish": "stop"}
USAGE = {"input": 1200, "cache_read": 0, "output": 300, "reasoning": 0}
ROW = {"backend": "scripted/one", "persona": "evaluator", "seconds": 0.2, "cost": 700, "input": 1200, "output": 300}


def reservation(run: str, index: int) -> Reserve:
    return Reserve(
        run=run,
        path="round-1/evaluate",
        index=index,
        request_hash="0" * 64,
        worst=1000,
        scopes=(f"run:{run}", "day:2026-01-01"),
        epoch=1,
        token=f"host@1:{run}:{index}",
        send_within=30.0,
        detail={"backend": "scripted/one", "persona": "evaluator"},
    )


def settlement(attempt: str) -> Settle:
    row = LakeRecord(table="calls", row=ROW | {"attempt": attempt})
    return Settle(attempt=attempt, epoch=1, cost=700, usage=USAGE, answer=ANSWER, rows=(row,))


def opening(run: str) -> OpenRun:
    caps = {f"run:{run}": 10**12, "day:2026-01-01": 10**14}
    return OpenRun(run=run, pipeline="refine", pins={"plan": {}}, owner="bench", token=run, caps=caps)


async def pair(client: LedgerClient, run: str, index: int) -> None:
    reserved = await client.reserve(reservation(run, index))
    assert isinstance(reserved, Reserved)
    await client.settle(settlement(reserved.attempt))


async def grouped(folder: Path, callers: int, seconds: float) -> dict[str, float]:
    """Pairs a second of `callers` coroutines over `seconds`, after a warm-up of a tenth of it."""
    ledger = Ledger.open(f"sqlite:///{folder / 'grouped.db'}")
    keeper = GroupCommit(ledger, own_process=True)
    client = LedgerClient.local(keeper)
    runs = [f"run{number}" for number in range(8)]
    for run in runs:
        await client.open_run(opening(run))
    done, stop = 0, False

    async def caller(number: int) -> None:
        nonlocal done
        index = 0
        while not stop:
            await pair(client, runs[number % len(runs)], number * 10_000_000 + index)
            index += 1
            done += 1

    tasks = [asyncio.create_task(caller(number)) for number in range(callers)]
    await asyncio.sleep(seconds / 10)
    before, started, cpu = done, time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    pairs, took, burnt = done - before, time.perf_counter() - started, time.process_time() - cpu
    stop = True
    await asyncio.gather(*tasks)
    await keeper.close()
    ledger.close()
    return {"pairs_per_second": pairs / took, "cpu_us_per_pair": 1e6 * burnt / max(pairs, 1)}


def ungrouped(folder: Path, seconds: float) -> float:
    """Pairs a second when every operation is a transaction of its own."""
    with Ledger.open(f"sqlite:///{folder / 'ungrouped.db'}") as ledger:
        ledger.apply([opening("run0")])
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            (reserved,) = ledger.apply([reservation("run0", done)])
            assert isinstance(reserved, Reserved)
            ledger.apply([settlement(reserved.attempt)])
            done += 1
        return done / (time.perf_counter() - started)


def commits(folder: Path, seconds: float) -> float:
    """Durable commits of one small row a second on this disk: what group commit has to beat."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (a TEXT)")
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        connection.execute("INSERT INTO t VALUES ('a')")
        done += 1
    connection.close()
    return done / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=None, help="where the files go; a real disk, not memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        figures: dict[str, Any] = {"callers": options.callers, "cores": os.cpu_count(), "synchronous": "FULL"}
        figures |= asyncio.run(grouped(folder, options.callers, options.seconds))
        figures["ungrouped_pairs_per_second"] = ungrouped(folder, options.seconds / 2)
        figures["bare_commits_per_second"] = commits(folder, options.seconds / 5)
        figures["grouped_over_ungrouped"] = figures["pairs_per_second"] / figures["ungrouped_pairs_per_second"]
    print(json.dumps({key: round(value, 1) if isinstance(value, float) else value for key, value in figures.items()}))


if __name__ == "__main__":
    main()
