"""One schedule carried out: runs under way together, faults, resuming until each ended, and the evidence gathered."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bessemer.actors.run_host import RunSpec
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.ledger import SetCap
from bessemer.cluster.prices import PriceBook
from chaos import processes
from chaos.evidence import Evidence, Key, billed, from_lake, from_ledger, rows_of, served_for
from chaos.faults import Injector
from chaos.schedule import Schedule, Work
from chaos.works import essence, spec_of
from chaos.world import Place, World

END_SECONDS = 180.0
"""How long after the last fault every run must have ended."""
FAULT_SECONDS = 120.0
ORPHAN_SECONDS = 15.0
"""How long a process whose parent was killed may take to notice."""


@dataclass
class Undisturbed:
    """How a run of some work ends when nothing befalls it."""

    result: Any
    rows: set[Key]
    cost: int
    requests: int


@dataclass
class Course:
    """One run of a trial: its driver now, and how it went."""

    work: Work
    spec: RunSpec
    answer: Path
    pid: int = 0
    outcome: dict[str, Any] | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.outcome is not None


class Trial:
    """A schedule in a home."""

    def __init__(self, world: World, place: Place, schedule: Schedule, calm: dict[Work, Undisturbed]) -> None:
        self._world, self._place, self._schedule, self._calm = world, place, schedule, calm
        self._scope = f"account:c{schedule.seed}-{time.monotonic_ns() % 10**6}"
        cost = sum(calm[work].cost for work in schedule.works if work in calm)
        self.cap = None if schedule.cap_share is None else round(cost * schedule.cap_share)
        self.courses = [self._course(number, work) for number, work in enumerate(schedule.works)]
        self._highest = 0
        self._watching = threading.Event()
        self.recovery = 0.0
        """Seconds from the end of the last fault until every run had ended."""
        self.refused = 0
        """Runs that the cap stopped."""
        self.injector: Injector | None = None

    def _course(self, number: int, work: Work) -> Course:
        run = f"{self._scope.rpartition(':')[2]}-{number}"
        caps = {f"run:{run}": None, self._scope: self.cap}
        spec = spec_of(work, run, caps, self._place.folder, self._place.settings)
        return Course(work, spec, self._world.root / f"{run}.json")

    @property
    def runs(self) -> list[str]:
        return [course.spec.run for course in self.courses]

    def carry_out(self) -> Evidence:
        """Start the runs, do the faults, resume until each ended, raise the cap, resume; returns what can be seen."""
        requests = sum(self._calm[work].requests for work in self._schedule.works if work in self._calm)
        drivers = self._drivers
        self.injector = Injector(self._world, self._schedule.faults, requests, drivers)
        watcher = threading.Thread(target=self._watch_cap, daemon=True)
        watcher.start()
        for course in self.courses:
            self._drive(course)
        self.injector.start()
        unended = self._follow(FAULT_SECONDS)
        self._watching.set()
        watcher.join(60)
        under_cap: dict[str, Any] = {
            "used_under_cap": max(self._highest, self._used()),
            "billed_under_cap": self._billed(),
        }
        self.refused = sum(1 for one in self.courses if one.outcome and one.outcome["ending"] == "budget")
        if self.refused and not unended:
            unended = self._raise_cap()
        self.injector.finish(FAULT_SECONDS)
        self.recovery = max(0.0, time.monotonic() - self.injector.last)
        self._world.clock.jump(0.0)
        if not unended:
            unended = self._flush()
        return self._evidence(under_cap, unended)

    def _drivers(self) -> list[int]:
        living = [one.pid for one in self.courses if not one.ended and self._world.drivers.lives(one.pid)]
        return list(dict.fromkeys(living))

    def _drive(self, course: Course) -> None:
        course.answer.unlink(missing_ok=True)
        home, spec = self._place.home.model_dump(mode="json"), course.spec.model_dump(mode="json")
        course.pid = self._world.drivers.start({"home": home, "spec": spec, "answer": str(course.answer)})

    def _follow(self, longer: float) -> list[str]:
        """Resume each run until it ended; returns the runs that do not end, in words."""
        deadline = time.monotonic() + END_SECONDS + longer
        while not all(course.ended for course in self.courses):
            for course in self.courses:
                if not course.ended and self._is_over(course):
                    self._look_at(course)
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return [f"{one.spec.run} ({one.work.name}): {one.errors[-3:]}" for one in self.courses if not one.ended]

    def _is_over(self, course: Course) -> bool:
        return course.answer.exists() or not self._world.drivers.lives(course.pid)

    def _look_at(self, course: Course) -> None:
        """What its driver left: an outcome, an error, or nothing where it was killed."""
        told: dict[str, Any] = {"error": "Killed", "message": "the driver was killed"}
        if course.answer.exists():
            told = json.loads(course.answer.read_text())
        if "outcome" in told:
            course.outcome = told["outcome"]
            return
        course.errors.append(f"{told['error']}: {told['message']}"[:500])
        if told["error"] == "BudgetExhausted":
            course.outcome = {"ending": "budget"}
            return
        time.sleep(0.3)
        self._world.start_cluster()
        self._drive(course)

    def _raise_cap(self) -> list[str]:
        """What was refused goes on once there is money."""
        with self._place.ledger() as ledger:
            known = next(one for one in ledger.scopes() if one.scope == self._scope)
            ledger.apply([SetCap(scope=self._scope, cap=None, version=known.version + 1)])
        for course in self.courses:
            if course.outcome and course.outcome["ending"] == "budget":
                course.outcome = None
                self._drive(course)
        return self._follow(FAULT_SECONDS)

    def _flush(self) -> list[str]:
        """Wait until the lake has every row."""
        answer = self._world.root / f"{self.runs[0]}-flush.json"
        deadline = time.monotonic() + END_SECONDS
        problem = ""
        while time.monotonic() < deadline:
            answer.unlink(missing_ok=True)
            home = self._place.home.model_dump(mode="json")
            pid = self._world.drivers.start({"home": home, "answer": str(answer)})
            while self._world.drivers.lives(pid) and not answer.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            told = json.loads(answer.read_text()) if answer.exists() else {"problem": "the driver was killed"}
            problem = told.get("problem", told.get("message", ""))
            if not problem:
                return []
            self._world.start_cluster()
        return [f"the lake: {problem}"]

    def _watch_cap(self) -> None:
        """Look at what counts against the cap, over and over, and keep the most."""
        while not self._watching.is_set():
            try:
                with self._place.ledger() as ledger:
                    while not self._watching.wait(0.2):
                        used = [one.used for one in ledger.scopes() if one.scope == self._scope]
                        self._highest = max(self._highest, *used, 0)
            except BessemerError:
                self._watching.wait(0.2)

    def _used(self) -> int:
        with self._place.ledger() as ledger:
            return next((one.used for one in ledger.scopes() if one.scope == self._scope), 0)

    def _billed(self) -> int:
        return billed(served_for(self._world.served(), self.runs), PriceBook())

    def _evidence(self, under_cap: dict[str, Any], unended: list[str]) -> Evidence:
        with self._place.ledger() as ledger:
            books = from_ledger(ledger, self.runs)
        results = {
            course.spec.run: essence(course.work, course.outcome)
            for course in self.courses
            if course.outcome is not None and course.outcome["ending"] != "budget"
        }
        known = [course for course in self.courses if course.work in self._calm]
        return Evidence(
            scope=self._scope,
            cap=self.cap,
            lake=from_lake(self._place.lake(), self.runs),
            served=served_for(self._world.served(), self.runs),
            results=results,
            expected={course.spec.run: self._calm[course.work].result for course in known},
            # Which votes are still asked for once a panel has decided depends on who answered first.
            expected_rows={one.spec.run: self._calm[one.work].rows for one in known if one.work.kind != "consensus"},
            unended=unended,
            errors=[words for course in self.courses for words in course.errors],
            leftovers=self._leftovers(),
            **books,
            **under_cap,
        )

    def _leftovers(self) -> list[str]:
        places = (self._world.disk.path,)
        deadline = time.monotonic() + ORPHAN_SECONDS
        while True:
            found = processes.leftovers(self._world.root, places, self._world.kept())
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.3)


def undisturbed(world: World, place: Place, works: tuple[Work, ...]) -> tuple[dict[Work, Undisturbed], Evidence]:
    """Carry each work out with no fault and no cap: the measure of all disturbed runs of it."""
    trial = Trial(world, place, Schedule(0, "files", works, None, ()), {})
    seen = trial.carry_out()
    found = {}
    for course in trial.courses:
        run = course.spec.run
        if run not in seen.results:
            raise RuntimeError(f"an undisturbed {course.work.name} does not end: {seen.unended} {seen.errors}")
        cost = sum(one.charge for one in seen.attempts if one.run == run)
        requests = len(served_for(seen.served, [run]))
        found[course.work] = Undisturbed(seen.results[run], rows_of(seen.lake[run]), cost, requests)
    return found, seen
