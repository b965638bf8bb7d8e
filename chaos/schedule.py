"""A schedule: from one seed, which runs are under way together and what befalls them when."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple, get_args

Victim = Literal[
    "driver",
    "run_host",
    "ledger_keeper",
    "lake_writer",
    "backend_host",
    "builder_host",
    "prober_host",
    "reviewer_host",
    "limiter",
    "raylet",
    "postgresql",
]
Trouble = Literal["disk_full", "slow_disk", "connections_dropped", "vendor_silent", "rate_limit_storm", "clock_jump"]
Kind = Literal[Victim, Trouble]
VICTIMS: tuple[Victim, ...] = get_args(Victim)
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
WEIGHTS: dict[Kind, float] = {"raylet": 0.25, "limiter": 0.5, "clock_jump": 0.7}
"""A dead raylet costs a new cluster; everything else weighs 1."""

Ground = Literal["files", "postgresql"]
WorkKind = Literal["score", "refine", "consensus"]
BLOCK = 20
"""Seeds beside each other that share a home and, as long as its raylet lives, a cluster with warm hosts."""
SCORE_SIZES = (24, 48)
JUMPS = (-7200.0, -61.0, -3.0, 3.0, 61.0, 7200.0)


class Fault(NamedTuple):
    """One thing that goes wrong."""

    after: float
    """Share of the requests of an undisturbed world that the vendor has seen by then."""
    kind: Kind
    seconds: float = 0.0
    """How long it lasts; a kill takes no time."""
    amount: float = 0.0
    """Share of requests, or seconds by which a clock jumps."""


class Work(NamedTuple):
    """One run."""

    kind: WorkKind
    size: int = 0
    """Texts to score, or rounds of a refinement."""

    @property
    def name(self) -> str:
        return f"{self.kind}{self.size or ''}"


class Schedule(NamedTuple):
    """Everything that is drawn."""

    seed: int
    ground: Ground
    works: tuple[Work, ...]
    cap_share: float | None
    """The cap all runs share, as a share of what they cost undisturbed; None for no cap."""
    faults: tuple[Fault, ...]


def ground_of(seed: int) -> Ground:
    return "postgresql" if seed // BLOCK % 2 else "files"


def draw(seed: int) -> Schedule:
    """The schedule of a seed: the same on every machine."""
    chance = random.Random(seed)
    ground = ground_of(seed)
    works = [Work("score", chance.choice(SCORE_SIZES))]
    others: list[Work] = [Work("refine", 1), Work("consensus"), Work("score", SCORE_SIZES[0]), Work("refine", 1)]
    works += chance.sample(others, chance.randint(1, 3))
    cap = chance.choice((None, None, chance.uniform(0.3, 0.9), chance.uniform(1.0, 1.5)))
    there = _there(ground, works)
    faults = sorted(_fault(chance, there) for _ in range(chance.randint(2, 4)))
    return Schedule(seed, ground, tuple(works), cap if cap is None else round(cap, 3), tuple(faults))


def _there(ground: Ground, works: list[Work]) -> list[Kind]:
    """What can befall these runs: a host that they do not use cannot be killed."""
    absent: set[Kind] = set() if ground == "postgresql" else {"postgresql"}
    if all(work.kind != "refine" for work in works):
        absent |= {"builder_host", "prober_host", "reviewer_host"}
    return [kind for kind in (*VICTIMS, *TROUBLES) if kind not in absent]


def _fault(chance: random.Random, kinds: list[Kind]) -> Fault:
    kind = chance.choices(kinds, [WEIGHTS.get(one, 1.0) for one in kinds])[0]
    after, seconds, share = chance.uniform(0.02, 0.9), chance.uniform(0.5, 2.5), chance.uniform(0.2, 0.7)
    jump = chance.choice(JUMPS)
    if kind == "clock_jump":
        return Fault(round(after, 3), kind, 0.0, jump)
    amount = round(share, 2) if kind in ("connections_dropped", "rate_limit_storm") else 0.0
    lasts = kind in TROUBLES or kind == "postgresql"
    return Fault(round(after, 3), kind, round(seconds, 1) if lasts else 0.0, amount)


def told(schedule: Schedule) -> str:
    """The schedule in one line, for people."""
    works = ", ".join(work.name for work in schedule.works)
    faults = ", ".join(
        f"{fault.kind}@{fault.after:.2f}"
        + (f" {fault.seconds:g}s" if fault.seconds else "")
        + (f" {fault.amount:g}" if fault.amount else "")
        for fault in schedule.faults
    )
    cap = "no cap" if schedule.cap_share is None else f"cap {schedule.cap_share:g} of the cost"
    return f"seed {schedule.seed} on {schedule.ground}: {works}; {cap}; {faults}"
