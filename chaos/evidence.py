"""What the three books say of a schedule's runs: the ledger, the lake, and the vendors' own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bessemer.actors.backends.base import Usage
from bessemer.cluster.lake import Lake
from bessemer.cluster.ledger import AttemptRow, CallRow, Ledger, RunRow, ScopeRow, StepRow
from bessemer.cluster.prices import PriceBook
from bessemer.cluster.records import TABLES

IDENTITY = ("path", "index", "attempt", "round", "criterion", "subject", "persona", "finding_id", "probe", "agent",
            "kind", "target", "verdict", "ending")  # fmt: skip
"""What tells rows of one table and run apart."""
OF_AN_END = ("at",)
"""And what tells a run's ends apart: one that a cap stopped, and stopped again when it was resumed, has two."""
Key = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the invariants look at."""

    scope: str
    cap: int | None
    """Micro-dollars that held until the schedule's first end."""
    used_under_cap: int = 0
    """The ledger's total at the highest that was seen while the cap held."""
    billed_under_cap: int = 0
    """What the vendors had billed by then."""
    scopes: list[ScopeRow] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    calls: list[CallRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    waiting_rows: int = 0
    """Rows that have not left for the lake."""
    lake: dict[str, Counter[Key]] = field(default_factory=dict)
    """Rows of each run by what identifies them."""
    served: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    """What came out of each run."""
    expected: dict[str, Any] = field(default_factory=dict)
    """What comes out of it undisturbed."""
    expected_rows: dict[str, set[Key]] = field(default_factory=dict)
    """Table, step and call of each of its rows, undisturbed."""
    unended: list[str] = field(default_factory=list)
    """Runs that did not end in time, in words."""
    errors: list[str] = field(default_factory=list)
    """What runs broke off with, in words."""
    leftovers: list[str] = field(default_factory=list)
    """Processes nobody is responsible for."""


def from_ledger(ledger: Ledger, runs: list[str]) -> dict[str, Any]:
    """The ledger's part of the evidence."""
    return {
        "scopes": ledger.scopes(),
        "runs": [ledger.run(run) for run in runs],
        "attempts": [one for run in runs for one in ledger.attempts(run)],
        "calls": [one for run in runs for one in ledger.calls(run)],
        "steps": [one for run in runs for one in ledger.steps(run)],
        "waiting_rows": len(ledger.read_outbox(1000)),
    }


def from_lake(lake: Lake, runs: list[str]) -> dict[str, Counter[Key]]:
    """Rows of each run by what identifies them; the run's own name is left out."""
    found: dict[str, Counter[Key]] = {run: Counter() for run in runs}
    for table in TABLES:
        names = IDENTITY + (OF_AN_END if table == "runs" else ())
        for row in lake.table(table).to_pylist():
            if row.get("run") in found:
                found[row["run"]][(table, *(str(row.get(name, "")) for name in names))] += 1
    return found


def served_for(served: list[dict[str, Any]], runs: list[str]) -> list[dict[str, Any]]:
    """The vendors' entries of these runs."""
    wanted = set(runs)
    return [entry for entry in served if str(entry["key"]).partition("|")[0] in wanted]


def billed(served: list[dict[str, Any]], prices: PriceBook) -> int:
    """Micro-dollars of these entries, each priced on its own."""
    return sum(price_of(entry, prices) for entry in served if entry["billed"])


def price_of(entry: dict[str, Any], prices: PriceBook) -> int:
    """Micro-dollars of one request by what the vendor counted."""
    if not entry["usage"]:
        return 0
    usage = {name: value for name, value in entry["usage"].items() if name in Usage.model_fields}
    return prices.cost(f"{entry['vendor']}/{entry['model']}", Usage.model_validate(usage))


def rows_of(keys: Counter[Key]) -> set[Key]:
    """Table, step and call: what is the same for every run of the same work, attempts and times left out."""
    return {key[:3] for key in keys}
