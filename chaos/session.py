"""Schedules one after the other: homes and clusters reused where the faults allow it, every outcome written down."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from bessemer.cluster.home import code_hash
from chaos.invariants import complaints
from chaos.results import Result
from chaos.schedule import BLOCK, Schedule, Work, draw, told
from chaos.trial import Trial, Undisturbed, undisturbed
from chaos.world import Place, World


class _Block(NamedTuple):
    number: int
    place: Place


class Session:
    """A world, and what was learnt in it."""

    def __init__(self, *, keep: bool = True) -> None:
        """With `keep` the folder of a world in which a schedule failed stays."""
        self._world = World()
        self._calm: dict[Work, Undisturbed] = {}
        self._block: _Block | None = None
        self._keep = keep
        self._failed = False

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self._world.close(keep=self._keep and (self._failed or error[0] is not None))

    def carry_out(self, seeds: range, until: float) -> Iterator[Result]:
        """Each schedule in turn, as long as `time.monotonic()` is below `until`."""
        for seed in seeds:
            if time.monotonic() > until:
                return
            yield self._one(draw(seed))

    def _one(self, schedule: Schedule) -> Result:
        place = self._place(schedule)
        say(told(schedule))
        self._learn(schedule.works, place)
        began = time.monotonic()
        trial = Trial(self._world, place, schedule, self._calm)
        seen = trial.carry_out()
        wrong = complaints(seen)
        assert trial.injector is not None
        result = Result(
            seed=schedule.seed,
            schedule=told(schedule),
            ground=schedule.ground,
            runs=[work.name for work in schedule.works],
            endings=[str((course.outcome or {}).get("ending", "stuck")) for course in trial.courses],
            capped=trial.cap is not None,
            refused=trial.refused,
            faults=trial.injector.done,
            missed=trial.injector.missed,
            broke_off=seen.errors,
            attempts=len(seen.attempts),
            lost_in_flight=sum(run.lost_in_flight for run in seen.runs),
            violations=wrong,
            recovery=round(trial.recovery, 1),
            seconds=round(time.monotonic() - began, 1),
            code=code_hash()[:12],
            folder=str(self._world.root) if wrong else "",
        )
        _say_result(result)
        if wrong:
            self._failed = True
            # The next schedule shall not suffer from what went wrong in this one.
            self._block = None
        return result

    def _learn(self, works: tuple[Work, ...], place: Place) -> None:
        unknown = tuple(work for work in dict.fromkeys(works) if work not in self._calm)
        if not unknown:
            return
        found, seen = undisturbed(self._world, place, unknown)
        if wrong := complaints(seen):
            raise RuntimeError(f"undisturbed runs break their books: {wrong}")
        self._calm |= found

    def _place(self, schedule: Schedule) -> Place:
        """The home of this seed's block, with a new cluster where the block is another."""
        number = schedule.seed // BLOCK
        if self._block is None or self._block.number != number:
            self._world.stop_cluster()
            self._block = _Block(number, self._world.new_home(schedule.ground))
        self._world.start_cluster()
        return self._block.place


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say_result(result: Result) -> None:
    fine = "ok" if not result.violations else "VIOLATED"
    more = f"; missed {', '.join(result.missed)}" if result.missed else ""
    broke = f"; broke off {len(result.broke_off)} times" if result.broke_off else ""
    say(f"  {fine} in {result.seconds} s, recovered in {result.recovery} s{broke}{more}")
    for words in result.broke_off:
        say(f"    {words[:240]}")
    for name, lines in result.violations.items():
        for line in lines[:6]:
            say(f"  {name}: {line}")
    if result.violations:
        say(f"  again: make chaos ARGS='--seed {result.seed} --schedules 1'; files: {result.folder}")
