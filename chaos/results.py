"""Outcomes of schedules as JSON lines, and the tables that `docs/reliability.md` shows."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.cluster.errors import UsageError
from chaos.schedule import TROUBLES, VICTIMS


class Result(BaseModel):
    """How one schedule went."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int
    schedule: str
    ground: str
    runs: list[str]
    endings: list[str]
    capped: bool
    refused: int
    """Runs that the cap stopped, and that went on once it was raised."""
    faults: list[str]
    missed: list[str]
    broke_off: list[str]
    attempts: int
    lost_in_flight: int
    violations: dict[str, list[str]]
    recovery: float
    """Seconds from the last fault's end until every run had ended."""
    seconds: float
    code: str
    """Start of the hash of the code that was tried."""
    folder: str = ""


def read(path: Path) -> list[Result]:
    """What was written so far; none where there is no file. Raises UsageError for a line that is no result."""
    if not path.exists():
        return []
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name a file with --results") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(Result.model_validate_json(line))
        except ValidationError:
            raise UsageError(f"{path} line {number} is no schedule's result; name another file") from None
    return found


def append(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(result.model_dump_json() + "\n")


def report(results: list[Result]) -> str:
    """The tables, in Markdown. A seed that was tried again counts as it went last."""
    last = {one.seed: one for one in results}
    chosen = [last[seed] for seed in sorted(last)]
    if not chosen:
        return "No schedule was carried out yet.\n"
    return "\n".join([*_summary(chosen), "", *_faults(chosen), "", *_violations(chosen)]) + "\n"


def _summary(chosen: list[Result]) -> list[str]:
    endings = Counter(ending for one in chosen for ending in one.endings)
    recovery = [one.recovery for one in chosen]
    slowest = max(chosen, key=lambda one: one.recovery)
    rows = [
        ("schedules", f"{len(chosen)}, seeds {_ranges([one.seed for one in chosen])}"),
        ("on files, on PostgreSQL", ", ".join(str(_count(chosen, ground)) for ground in ("files", "postgresql"))),
        ("runs", f"{sum(len(one.runs) for one in chosen)}; ended " + _counted(endings)),
        ("runs that a cap stopped until it was raised", str(sum(one.refused for one in chosen))),
        ("faults done", str(sum(len(one.faults) for one in chosen))),
        ("times a run broke off and was resumed", str(sum(len(one.broke_off) for one in chosen))),
        ("calls bought", f"{sum(one.attempts for one in chosen)}"),
        ("answers lost in flight, charged and counted", str(sum(one.lost_in_flight for one in chosen))),
        ("violations", str(sum(len(words) for one in chosen for words in one.violations.values()))),
        ("recovery", f"median {statistics.median(recovery):.1f} s, longest {slowest.recovery:.1f} s "
                     f"(seed {slowest.seed})"),
        ("time for one schedule", f"median {statistics.median(one.seconds for one in chosen):.1f} s"),
        ("code", ", ".join(sorted({one.code for one in chosen}))),
    ]  # fmt: skip
    return ["| what | how much |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _faults(chosen: list[Result]) -> list[str]:
    done = Counter(kind for one in chosen for kind in one.faults)
    missed = Counter(words.partition(":")[0] for one in chosen for words in one.missed)
    lines = ["| fault | done | found nothing to disturb |", "|---|---|---|"]
    return [*lines, *(f"| {kind} | {done[kind]} | {missed[kind]} |" for kind in (*VICTIMS, *TROUBLES))]


def _violations(chosen: list[Result]) -> list[str]:
    broken = [one for one in chosen if one.violations]
    if not broken:
        return ["No schedule violated an invariant."]
    lines = ["| seed | invariant | what was seen |", "|---|---|---|"]
    for one in broken:
        lines += [f"| {one.seed} | {name} | {words[0][:200]} |" for name, words in one.violations.items()]
    return lines


def _count(chosen: list[Result], ground: str) -> int:
    return sum(1 for one in chosen if one.ground == ground)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _ranges(seeds: list[int]) -> str:
    """`1-5, 8` for 1 2 3 4 5 8."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and parts[-1][-1] == seed - 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
