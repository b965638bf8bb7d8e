"""Measuring on the machines that work for others, where that gives what it would give here; else here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors._hosts import prober_ref
from bessemer.actors._placement import Node
from bessemer.actors._probing import HostProber, patience, probe_requests
from bessemer.actors._wire import HostRef, ask, encode
from bessemer.actors.apart._carrier import Carrier
from bessemer.actors.apart._machines import Machines
from bessemer.actors.apart._parcels import Answer, Arrival, Parcel, deliver
from bessemer.actors.probes.base import ProbeRequest, ProbeResult
from bessemer.cluster.errors import InfrastructureError, NodeLost
from bessemer.cluster.files import write_atomic
from bessemer.cluster.home import Home
from bessemer.cluster.workspace import MAX_PACK_BYTES, Repository

_log = logging.getLogger(__name__)

UNFIT_SECONDS = 600.0
"""How long a machine that was lost, or that has another environment, is not asked again."""
ENVIRONMENT_SECONDS = 120.0
"""How long this machine may take to say what its Python has installed."""
UNSURE = frozenset({"error", "unavailable"})
"""What another machine may answer because it lacks something: this one's answer stands then."""
_OWN_PLACE = re.compile(r"""(?:^|[\s=:;,"'(<>|&])(?:~|\$HOME|/(?!(?:usr|s?bin|lib\d*|etc|dev|proc|tmp)/))""")
_numbers = itertools.count()


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measurement(_Frozen):
    """Probes to run on a commit."""

    run: str
    repository: str
    """Absolute path of the run's private git repository."""
    commit: str
    worktree: str
    """Absolute path of the worktree to measure in here; removed afterwards."""
    probes: tuple[str, ...]
    interpreter: str = ""
    timeout: float = 120.0
    """Seconds for each probe."""
    artefacts: str = ""
    """Absolute folder for screenshots; empty keeps none."""


class ProbeJob(_Frozen):
    """A measurement away from the run's machine."""

    work: Parcel
    probes: tuple[str, ...]
    interpreter: str
    environment: str
    """What `environment_of` the interpreter says on the run's machine."""
    timeout: float
    keep: bool
    """Whether files that probes leave for people are wanted."""


class ProbesResult(Answer):
    """What was measured there."""

    other_environment: bool = False
    """Whether the Python there has other packages, so that nothing was measured."""
    results: tuple[ProbeResult, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
    """Artefacts in base64, by the paths that the results name."""


class Probers:
    """The prober hosts as a run sees them."""

    def __init__(self, home: Home, machines: Machines) -> None:
        self._home = home
        self._machines = machines
        self._carrier = Carrier(home)
        self._own = prober_ref(home)
        self._others: dict[str, HostRef] = {}
        self._unfit: dict[tuple[str, str], float] = {}

    def make(self) -> None:
        """Start this machine's own host now, so that it comes up while others work."""
        self._own.make()

    async def measure(self, work: Measurement) -> tuple[ProbeResult, ...]:
        """A result for each probe, in order. What another machine cannot say, this one says."""
        may_travel = tuple(probe for probe in work.probes if not bound_to_a_machine(probe))
        told = await self._elsewhere(work, may_travel) if may_travel else ()
        found = {result.probe: result for result in told if result.status not in UNSURE}
        if left := tuple(probe for probe in work.probes if probe not in found):
            found |= {result.probe: result for result in await self._here(work, left)}
        return tuple(found[probe] for probe in work.probes)

    async def _here(self, work: Measurement, probes: tuple[str, ...]) -> tuple[ProbeResult, ...]:
        prober = HostProber(self._own, timeout=work.timeout, artefacts=work.artefacts)
        async with Repository(Path(work.repository)).worktree(Path(work.worktree), work.commit) as tree:
            with self._machines.working(None):
                return await prober.measure(str(tree), probes, work.interpreter)

    async def _elsewhere(self, work: Measurement, probes: tuple[str, ...]) -> tuple[ProbeResult, ...]:
        """The results of another machine; none where this one has to measure."""
        while (node := await self._machines.choose(self._unfit_for(work.interpreter))) is not None:
            try:
                with self._machines.working(node):
                    answer = await self._at(node, work, probes)
                if not answer.other_environment:
                    return await asyncio.to_thread(_with_files, answer, work.artefacts)
            except NodeLost:
                self._machines.look_again()
                self._others.pop(node.id, None)
            except InfrastructureError as error:
                # A measurement costs no money, so that this machine can do what another could not.
                _log.warning("%s could not measure and this machine does: %s", node.name, error.message)
                break
            self._unfit[node.id, work.interpreter] = time.monotonic() + UNFIT_SECONDS
        return ()

    def _unfit_for(self, interpreter: str) -> set[str]:
        now = time.monotonic()
        return {node for (node, python), until in self._unfit.items() if python == interpreter and until > now}

    async def _at(self, node: Node, work: Measurement, probes: tuple[str, ...]) -> ProbesResult:
        host = self._others.setdefault(node.id, prober_ref(self._home, node))
        question = encode({"interpreter": work.interpreter})
        environment = await ask(self._own, "environment", question, within=ENVIRONMENT_SECONDS)

        async def attempt(parcel: Parcel) -> ProbesResult:
            job = ProbeJob(
                work=parcel,
                probes=probes,
                interpreter=work.interpreter,
                environment=environment,
                timeout=work.timeout,
                keep=bool(work.artefacts),
            )
            within = patience(work.timeout, len(probes))
            answer = await ask(host, "measure_apart", job.model_dump_json().encode(), within=within)
            return ProbesResult.model_validate(answer)

        return await deliver(self._carrier, Repository(Path(work.repository)), work.run, work.commit, attempt)


async def measured_here(
    job: ProbeJob, arrival: Arrival, one: Callable[[ProbeRequest], Awaitable[ProbeResult]]
) -> ProbesResult:
    """Measure another machine's work, where it has arrived."""
    async with _folders(job, arrival) as (tree, artefacts):
        requests = probe_requests(
            job.probes,
            workspace=str(tree),
            interpreter=job.interpreter,
            timeout=job.timeout,
            artefacts=artefacts,
        )
        results = tuple(await asyncio.gather(*(one(request) for request in requests)))
        files = await asyncio.to_thread(_read_all, [path for result in results for path in result.artefacts])
    return ProbesResult(results=results, files=files)


@contextlib.asynccontextmanager
async def _folders(job: ProbeJob, arrival: Arrival) -> AsyncIterator[tuple[Path, str]]:
    name = f"measure-{job.work.commit[:12]}-{os.getpid()}-{next(_numbers)}"
    with tempfile.TemporaryDirectory(prefix="bsm-shots-", ignore_cleanup_errors=True) as shots:
        async with arrival.repository.worktree(arrival.place / "scratch" / name, job.work.commit) as tree:
            yield tree, shots if job.keep else ""


def bound_to_a_machine(probe: str) -> bool:
    """Whether a command line names a place that another machine need not have."""
    return bool(_OWN_PLACE.search(probe))


def _read_all(paths: list[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    room = MAX_PACK_BYTES
    for path in map(Path, paths):
        room -= path.stat().st_size
        if room >= 0:
            files[str(path)] = base64.b64encode(path.read_bytes()).decode()
    return files


def _with_files(answer: ProbesResult, folder: str) -> tuple[ProbeResult, ...]:
    """The results with their artefacts in `folder` of this machine; one that did not travel is left out."""
    moved: dict[str, str] = {}
    for path, content in answer.files.items():
        target = Path(folder) / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, base64.b64decode(content))
        moved[path] = str(target)
    return tuple(
        result.model_copy(update={"artefacts": tuple(moved[path] for path in result.artefacts if path in moved)})
        for result in answer.results
    )
