"""What must hold after every schedule. Each yields what is wrong, in words; nothing where all is well."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from bessemer.cluster.prices import PriceBook
from chaos.evidence import Evidence, price_of, rows_of

OPEN = ("reserved", "parked", "submitted")
EXPECTED_ERRORS = (
    "LedgerUnavailable",
    "StateUnwritable",
    "ClusterError",
    "NodeLost",
    "HostFull",
    "LakeError",
    "RunIsOpen",
    "Fenced",
    "WorkspaceError",
    "BudgetExhausted",
    "Killed",
)
"""Errors that a run may break off with under faults, to be resumed. Any other is a finding."""


def cap_held(seen: Evidence) -> Iterator[str]:
    """No cap was passed by a micro-dollar, by the ledger's word or the vendors', and the ledger adds up."""
    if seen.cap is not None:
        if seen.used_under_cap > seen.cap:
            yield f"{seen.scope} is capped at {seen.cap} and {seen.used_under_cap} counted against it"
        if seen.billed_under_cap > seen.cap:
            yield f"{seen.scope} is capped at {seen.cap} and vendors billed {seen.billed_under_cap}"
    charged: Counter[str] = Counter()
    for attempt in seen.attempts:
        for scope in attempt.scopes:
            charged[scope] += attempt.charge
    ours = {seen.scope, *(f"run:{run.run}" for run in seen.runs)}
    for row in seen.scopes:
        if row.scope in ours and row.used != charged[row.scope]:
            yield f"{row.scope} says {row.used} and its attempts add up to {charged[row.scope]}"


def bought_once(seen: Evidence) -> Iterator[str]:
    """The vendors saw what was reserved and nothing else, each attempt once, and none after its call was settled."""
    attempts = {one.attempt: one for one in seen.attempts}
    served = Counter(str(entry["key"]) for entry in seen.served)
    yield from (f"a vendor served {key}, which was never reserved" for key in served if key not in attempts)
    yield from (f"{key} was sent {times} times" for key, times in served.items() if times > 1)
    by_call: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for one in sorted(seen.attempts, key=lambda one: one.n):
        by_call[(one.run, one.path, one.index)].append(one.state)
    for call, states in by_call.items():
        if "settled" in states[:-1]:
            yield f"{'|'.join(map(str, call))} was bought again after it was settled: {', '.join(states)}"
    yield from (f"{one.attempt} is still {one.state}" for one in seen.attempts if one.state in OPEN)


def charges_cover_bills(seen: Evidence) -> Iterator[str]:
    """What a vendor billed is what was charged; an answer that was lost is charged no less, and counted."""
    prices = PriceBook()
    attempts = {one.attempt: one for one in seen.attempts}
    lost: Counter[str] = Counter()
    for entry in seen.served:
        one = attempts.get(str(entry["key"]))
        if one is None or not entry["billed"]:
            continue
        bill = price_of(entry, prices)
        if one.state in ("settled", "settled_late") and one.charge != bill:
            yield f"{one.attempt} is charged {one.charge} and was billed {bill}"
        elif one.charge < bill:
            yield f"{one.attempt} is {one.state} at {one.charge} and was billed {bill}"
        if one.state not in ("settled", "released"):
            lost[one.run] += 1
    for run in seen.runs:
        if run.lost_in_flight < lost[run.run]:
            yield f"{run.run} counts {run.lost_in_flight} answers as lost and {lost[run.run]} are"


def rows_once(seen: Evidence) -> Iterator[str]:
    """Every row reached the lake exactly once: nothing waits, nothing is doubled, nothing is missing.

    A run ends once in each of its epochs at most.
    """
    epochs = {run.run: run.epoch for run in seen.runs}
    if seen.waiting_rows:
        yield f"{seen.waiting_rows} rows have not left for the lake"
    calls: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for call in seen.calls:
        calls[call.run].add((call.path, str(call.index)))
    for run, keys in seen.lake.items():
        yield from (f"{run} has {times} rows {'|'.join(key)}" for key, times in keys.items() if times > 1)
        ends = sum(times for key, times in keys.items() if key[0] == "runs")
        if ends > epochs.get(run, ends):
            yield f"{run} ended {ends} times in {epochs[run]} epochs"
        in_lake = {(key[1], key[2]) for key in keys if key[0] == "calls"}
        for path, index in sorted(calls[run] ^ in_lake):
            where = "ledger" if (path, index) in calls[run] else "lake"
            yield f"{run} has the call {path}|{index} in the {where} alone"
        if run in seen.expected_rows:
            wanted, found = seen.expected_rows[run], rows_of(keys)
            yield from (f"{run} lacks the row {'|'.join(key)}" for key in sorted(wanted - found))
            yield from (f"{run} has the row {'|'.join(key)} too much" for key in sorted(found - wanted))


def same_result(seen: Evidence) -> Iterator[str]:
    """What came out, files included, is what comes out of an undisturbed run of the same work."""
    for run, expected in seen.expected.items():
        if run in seen.results and seen.results[run] != expected:
            yield f"{run} came to {str(seen.results[run])[:300]} and undisturbed to {str(expected)[:300]}"


def all_ended(seen: Evidence) -> Iterator[str]:
    """No run is stuck, and none broke off for another reason than the faults."""
    yield from (f"stuck: {words}" for words in seen.unended)
    yield from (f"{one.run} ended and is {one.status}" for one in seen.runs if one.status != "done")
    broken_off = {one.run for one in seen.runs if one.epoch > 1}
    for step in seen.steps:
        # A panel that was broken off may decide without hearing a turn again that was under way.
        spared = step.run in broken_off and re.fullmatch(r"round-\d+/agent-\d+", step.path)
        if not step.done and not spared:
            yield f"{step.run} has the unfinished step {step.path}"
    yield from (f"broke off: {words}" for words in seen.errors if not words.startswith(EXPECTED_ERRORS))


def no_orphans(seen: Evidence) -> Iterator[str]:
    """Nothing runs that nobody is responsible for."""
    yield from (f"left running: {words}" for words in seen.leftovers)


INVARIANTS: dict[str, Callable[[Evidence], Iterator[str]]] = {
    "cap held": cap_held,
    "bought once": bought_once,
    "charges cover bills": charges_cover_bills,
    "rows once": rows_once,
    "same result": same_result,
    "all ended": all_ended,
    "no orphans": no_orphans,
}


def complaints(seen: Evidence) -> dict[str, list[str]]:
    """What is wrong, by invariant."""
    found = {name: list(check(seen)) for name, check in INVARIANTS.items()}
    return {name: words for name, words in found.items() if words}
