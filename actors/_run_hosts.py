"""The run hosts of a home, and which of them has a run or takes one.

A machine begins with one run host, `run/MACHINE`; where all are full another joins as `run/MACHINE#2`, up to
`cluster.run_hosts`. Nobody keeps a table of who holds what: hosts are asked, and the ledger refuses a second holder.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import ray

from bessemer.actors._hosts import run_ref
from bessemer.actors._placement import node_name
from bessemer.actors._wire import HostRef, ask, encode
from bessemer.cluster.errors import BessemerError, ClusterError, HostFull
from bessemer.cluster.home import Home
from bessemer.cluster.settings import ClusterSettings

if TYPE_CHECKING:
    from bessemer.actors._line import LinedHost
    from bessemer.actors.run_host import RunSpec

T = TypeVar("T")

START_SECONDS = 120.0
"""How long a host may take to come up, or to come back after a crash."""
LOOK_SECONDS = 30.0
"""How long a host may take to say what it has; one that does not is passed over."""


class _Seen(NamedTuple):
    host: HostRef
    runs: frozenset[str]
    """Runs under way there."""
    known: frozenset[str]
    """Those it remembers of the runs that were asked for: under way, ended, or away until their batches are in."""
    answers: bool


class RunHosts:
    """Finds and fills the run hosts of one home. Belongs to one event loop."""

    def __init__(self, home: Home) -> None:
        cluster = ClusterSettings.model_validate(home.settings.get("cluster", {}))
        self._home = home
        self._most, self._room = cluster.run_hosts, cluster.runs_per_host
        self._first = f"run/{node_name()}"
        self._refs: dict[str, LinedHost] = {}
        self._at: dict[str, HostRef] = {}
        self._promised: dict[str, set[str]] = defaultdict(set)
        self._unplaced: list[tuple[str, asyncio.Future[HostRef]]] = []
        """Runs that wait for a host."""
        self._started: set[str] = set()
        """Promised runs whose start has ended, well or not."""
        self._placing: asyncio.Task[None] | None = None

    async def start(self, spec: RunSpec, *, within: float = START_SECONDS) -> HostRef:
        """Hand a run to the host that has it, else to the least full one; returns that host.

        Raises HostFull where every host is full, and what the ledger refuses: RunIsOpen, RunDiverged …
        """
        try:
            for _ in range(self._most):
                host = await self._place(spec.run)
                try:
                    await ask(host, "start", spec.model_dump_json().encode(), within=within)
                except HostFull:
                    # Another driver was quicker.
                    self._promised[host.name].discard(spec.run)
                    continue
                self._at[spec.run] = host
                return host
        finally:
            self._started.add(spec.run)
        raise self._full()

    async def holder(self, run: str) -> HostRef | None:
        """The host that has a run or remembers it; None where none does."""
        if run not in self._at:
            seen = await self._look([run])
            found = _first(seen, lambda one: run in one.runs) or _first(seen, lambda one: run in one.known)
            if found is None:
                return None
            self._at[run] = found.host
        return self._at[run]

    def forget(self, run: str) -> None:
        """Look for the run again before it is asked for."""
        self._at.pop(run, None)

    async def close(self) -> None:
        """Close what is open to the hosts; it is opened again when it is needed."""
        if self._placing is not None:
            self._placing.cancel()
            await asyncio.wait([self._placing])
        for host in self._refs.values():
            await host.close()

    async def any_host(self) -> HostRef:
        """Some run host, which is made where there is none."""
        seen = await self._look([])
        there = _first(seen, lambda one: one.answers)
        return there.host if there else self._ref(self._first)

    async def _place(self, run: str) -> HostRef:
        """The host that is to have the run, which is promised to it. Runs that come together need one look."""
        place: asyncio.Future[HostRef] = asyncio.get_running_loop().create_future()
        self._unplaced.append((run, place))
        if self._placing is None:
            self._placing = asyncio.create_task(self._place_all())
        return await place

    async def _place_all(self) -> None:
        try:
            while self._unplaced:
                unplaced, self._unplaced = self._unplaced, []
                await self._place_together(unplaced)
        finally:
            self._placing = None

    async def _place_together(self, unplaced: list[tuple[str, asyncio.Future[HostRef]]]) -> None:
        # What was promised counts until a look can have seen it.
        for promised in self._promised.values():
            promised.difference_update(self._started)
        self._started.clear()
        try:
            seen = await self._look([run for run, _ in unplaced])
            for run, place in unplaced:
                if place.done():
                    continue
                if host := self._choose(run, seen):
                    self._promised[host.name].add(run)
                    place.set_result(host)
                else:
                    place.set_exception(self._full())
        except Exception as error:
            for _, place in unplaced:
                if not place.done():
                    place.set_exception(error)
        finally:
            for _, place in unplaced:
                place.cancel()

    def _choose(self, run: str, seen: list[_Seen]) -> HostRef | None:
        if there := _first(seen, lambda one: run in one.runs):
            return there.host
        free = [one for one in seen if one.answers and self._load(one, run) < self._room]
        if known := _first(free, lambda one: run in one.known):
            return known.host
        free = [one for one in free if self._is_own(one.host.name)]
        if free:
            return min(free, key=lambda one: self._load(one, run)).host
        by_name = {one.host.name: one for one in seen}
        for number in range(1, self._most + 1):
            name = self._first + (f"#{number}" if number > 1 else "")
            # One that was promised a run is coming up and takes more, or each start would make one more.
            coming = 0 < len(self._promised[name]) < self._room
            answers = name in by_name and by_name[name].answers
            if not answers and (coming or name not in by_name):
                return self._ref(name)
        return None

    def _load(self, seen: _Seen, run: str) -> int:
        """How many others it has or was promised."""
        return len((seen.runs | self._promised[seen.host.name]) - {run})

    def _is_own(self, name: str) -> bool:
        return name.partition("#")[0] == self._first

    async def _look(self, runs: list[str]) -> list[_Seen]:
        """What every host says of itself, those of this machine first."""
        try:
            names = await asyncio.wait_for(asyncio.to_thread(self._named), LOOK_SECONDS)
        except TimeoutError:
            raise ClusterError(f"Ray did not say within {LOOK_SECONDS:.0f} s which run hosts there are") from None
        names.sort(key=lambda name: (not self._is_own(name), len(name), name))
        return await asyncio.gather(*(self._ask(self._ref(name), runs) for name in names))

    async def _ask(self, host: HostRef, runs: list[str]) -> _Seen:
        try:
            answer = await ask(host, "room", encode({"runs": runs}), within=LOOK_SECONDS)
        except BessemerError:
            return _Seen(host, frozenset(), frozenset(), answers=False)
        return _Seen(host, frozenset(answer["under_way"]), frozenset(answer["known"]), answers=True)

    def _named(self) -> list[str]:
        named = ray.util.list_named_actors(all_namespaces=True)
        mine = (one["name"] for one in named if one["namespace"] == self._home.host_namespace)
        return [name for name in mine if name.startswith("run/")]

    def _ref(self, name: str) -> LinedHost:
        if name not in self._refs:
            # A host of another machine is made by whoever drives there: its runs' files are on that machine.
            self._refs[name] = run_ref(self._home, name, make=self._is_own(name))
        return self._refs[name]

    def _full(self) -> HostFull:
        return HostFull(
            f"{self._most} run hosts with {self._room} runs each are full on {node_name()}; wait for a run to end, or "
            "raise cluster.run_hosts"
        )


def _first(among: Iterable[T], fits: Callable[[T], bool]) -> T | None:
    return next((one for one in among if fits(one)), None)
