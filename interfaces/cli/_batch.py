"""Vendor batches as the ledger knows them, and asking a vendor to cancel one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from bessemer.actors._hosts import backend_ref
from bessemer.actors._wire import ask, encode
from bessemer.actors.batch import INTENT, PROVIDERS
from bessemer.cluster.errors import UsageError
from bessemer.cluster.ledger import AttemptRow, Ledger
from bessemer.cluster.money import format_usd
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._home import home_of
from bessemer.interfaces._session import driving

CANCEL_SECONDS = 300.0


class BatchRow(BaseModel):
    """One batch. Micro-dollars."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: str
    """The vendor's id; empty for calls that wait for a batch."""
    provider: str
    account: str
    state: str
    """`waiting`, `submitting` (its vendor has not named it yet) or `out`."""
    calls: int
    charged: int
    """What is held for it: the worst case of every call in it."""
    runs: tuple[str, ...]
    since: datetime


class Cancelled(NamedTuple):
    """What became of the wish to cancel a batch."""

    batch: BatchRow
    asked: bool
    """Whether its vendor was asked; false where it had ended already."""


def batches(config: Sequence[Path] | None) -> list[BatchRow]:
    """Every batch that calls of this ledger wait for, oldest first."""
    home = home_of(load_settings(files=config or []))
    with Ledger.open(home.ledger_url) as ledger:
        attempts = [one for provider in sorted(PROVIDERS) for one in ledger.batched(provider)]
    groups: dict[tuple[str, str, str], list[AttemptRow]] = {}
    for one in attempts:
        provider = str(one.detail.get("backend", "")).partition("/")[0]
        account = str(one.detail.get("account", "default"))
        groups.setdefault((provider, account, one.batch or ""), []).append(one)
    rows = [_row(*key, members) for key, members in groups.items()]
    return sorted(rows, key=lambda row: row.since)


def _row(provider: str, account: str, batch: str, members: list[AttemptRow]) -> BatchRow:
    state = "waiting" if not batch else "submitting" if batch.startswith(INTENT) else "out"
    return BatchRow(
        batch=batch,
        provider=provider,
        account=account,
        state=state,
        calls=len(members),
        charged=sum(one.charge for one in members),
        runs=tuple(sorted({one.run for one in members})),
        since=min(one.submitted_at or one.reserved_at for one in members),
    )


def show(rows: list[BatchRow]) -> None:
    """A table for people."""
    from bessemer.interfaces.cli._tables import show_table

    shown = []
    for row in rows:
        runs = row.runs[0] if len(row.runs) == 1 else f"{len(row.runs)} runs"
        since = row.since.astimezone().strftime("%m-%d %H:%M")
        where = f"{row.provider}/{row.account}"
        shown.append((row.batch or "-", where, row.state, str(row.calls), format_usd(row.charged), since, runs))
    columns = ("batch", "at", "state", "calls", "held", "since", "runs")
    numbers = ("calls", "held")
    show_table(columns, shown, nothing="no call waits for a batch", numbers=numbers, whole=("state", *numbers))


async def cancel(batch: str, config: Sequence[Path] | None, address: str) -> Cancelled:
    """Ask the vendor. Raises UsageError where no batch of that name is out."""
    settings = load_settings(files=config or [])
    home = home_of(settings)
    row = _only(batch, [one for one in batches(config) if one.batch.startswith(batch)])
    if row.state == "submitting":
        raise UsageError(f"batch {row.batch} is being submitted, so its vendor cannot be asked yet; try again later")
    with driving(home, settings, address=address):
        host = backend_ref(home, f"batch/{row.provider}/{row.account}")
        done = await ask(host, "cancel_batch", encode({"batch": row.batch}), within=CANCEL_SECONDS)
    return Cancelled(row, bool(done))


def words_for(done: Cancelled) -> str:
    """What to tell a person."""
    row = done.batch
    if not done.asked:
        return f"batch {row.batch} has ended already; see `bessemer batch list`"
    return f"asked {row.provider} to cancel batch {row.batch} with {row.calls} calls; what it answered is kept"


def _only(given: str, found: list[BatchRow]) -> BatchRow:
    if len(found) == 1:
        return found[0]
    if found and given:
        raise UsageError(f"{given!r} is the start of {len(found)} batches; give more of the id")
    raise UsageError(f"no batch {given!r} is out; see `bessemer batch list`")
