"""The run hosts of a home, and which of them has a run or takes one.

A machine begins with one run host, `run/MACHINE`; where all are full another joins as `run/MACHINE#2`, up to
`cluster.run_hosts`. Nobody keeps a table of who holds what: hosts are asked, and the ledger refuses a second holder.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import ray

from bessemer.actors._hosts import run_ref, silence
from bessemer.actors._placement import node_name
from bessemer.actors._wire import HostRef, ask, encode, find_only
from bessemer.cluster.errors import BessemerError, HostFull
from bessemer.cluster.home import Home
from bessemer.cluster.settings import ClusterSettings

if TYPE_CHECKING:
    from bessemer.actors.run_host import RunSpec

START_SECONDS = 120.0
"""How long a host may take to come up, or to come back after a crash."""
LOOK_SECONDS = 30.0
"""How long a host may take to say what it has; one that does not is passed over."""


class _Seen(NamedTuple):
    host: HostRef
    runs: frozenset[str]
    """Runs under way there."""
    knows: bool
    """Whether it remembers the run that was asked for: under way, ended, or away until its batches are in."""


class RunHosts:
    """Finds and fills the run hosts of one home. Belongs to one event loop."""

    def __init__(self, home: Home) -> None:
        cluster = ClusterSettings.model_validate(home.settings.get("cluster", {}))
        self._home = home
        self._most, self._room = cluster.run_hosts, cluster.runs_per_host
        self._first = f"run/{node_name()}"
        self._refs: dict[str, HostRef] = {}
        self._at: dict[str, HostRef] = {}
        self._promised: dict[str, set[str]] = defaultdict(set)
        self._choosing = asyncio.Lock()

    async def start(self, spec: RunSpec, *, within: float = START_SECONDS) -> HostRef:
        """Hand a run to the host that has it, else to the least full one; returns that host.

        Raises HostFull where every host is full, and what the ledger refuses: RunIsOpen, RunDiverged …
        """
        for _ in range(self._most):
            async with self._choosing:
                host = await self._choose(spec.run)
                self._promised[host.name].add(spec.run)
            try:
                await ask(host, "start", spec.model_dump_json().encode(), within=within)
            except HostFull:
                continue  # another driver was quicker
            finally:
                self._promised[host.name].discard(spec.run)
            self._at[spec.run] = host
            return host
        raise self._full()

    async def holder(self, run: str) -> HostRef | None:
        """The host that has a run or remembers it; None where none does."""
        if run not in self._at:
            seen = await self._look(run)
            found = next((one for one in seen if run in one.runs), None) or next((o for o in seen if o.knows), None)
            if found is None:
                return None
            self._at[run] = found.host
        return self._at[run]

    def forget(self, run: str) -> None:
        """Look for the run again before it is asked for."""
        self._at.pop(run, None)

    async def any_host(self) -> HostRef:
        """Some run host, which is made where there is none."""
        seen = await self._look("")
        return seen[0].host if seen else self._ref(self._first)

    async def _choose(self, run: str) -> HostRef:
        seen = await self._look(run)
        if there := next((one for one in seen if run in one.runs), None):
            return there.host
        free = [one for one in seen if self._load(one) < self._room]
        if known := next((one for one in free if one.knows), None):
            return known.host
        free = [one for one in free if self._is_own(one.host.name)]
        if free:
            return min(free, key=self._load).host
        answered, named = {one.host.name for one in seen}, set(await asyncio.to_thread(self._named))
        for number in range(1, self._most + 1):
            name = self._first + (f"#{number}" if number > 1 else "")
            # One that was promised a run is coming up and takes more, or each start would make one more.
            coming = 0 < len(self._promised[name]) < self._room
            if name not in answered and (coming or name not in named):
                return self._ref(name)
        raise self._full()

    def _load(self, seen: _Seen) -> int:
        return len(seen.runs | self._promised[seen.host.name])

    def _is_own(self, name: str) -> bool:
        return name.partition("#")[0] == self._first

    async def _look(self, run: str) -> list[_Seen]:
        """What every host says of itself, those of this machine first. Silent ones are left out."""
        names = await asyncio.to_thread(self._named)
        names.sort(key=lambda name: (not self._is_own(name), len(name), name))
        found = await asyncio.gather(*(self._ask(self._ref(name), run) for name in names))
        return [one for one in found if one is not None]

    async def _ask(self, host: HostRef, run: str) -> _Seen | None:
        try:
            answer = await ask(host, "room", encode({"run": run}), within=LOOK_SECONDS)
        except BessemerError:
            return None
        return _Seen(host, frozenset(answer["under_way"]), bool(answer["knows"]))

    def _named(self) -> list[str]:
        named = ray.util.list_named_actors(all_namespaces=True)
        mine = (one["name"] for one in named if one["namespace"] == self._home.host_namespace)
        return [name for name in mine if name.startswith("run/")]

    def _ref(self, name: str) -> HostRef:
        if name not in self._refs:
            # A host of another machine is made by whoever drives there: its runs' files are on that machine.
            elsewhere = HostRef(name, find_only(name, self._home.host_namespace), silence=silence(self._home))
            self._refs[name] = run_ref(self._home, name) if self._is_own(name) else elsewhere
        return self._refs[name]

    def _full(self) -> HostFull:
        return HostFull(
            f"{self._most} run hosts with {self._room} runs each are full on {node_name()}; wait for a run to end, or "
            "raise cluster.run_hosts"
        )
