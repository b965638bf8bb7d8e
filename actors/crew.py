"""The hosts as a pipeline sees them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from bessemer.actors._backend_service import book_of
from bessemer.actors._hosts import backend_client, lake_ref, reviewer_ref
from bessemer.actors._jobs import QUEUE_SECONDS
from bessemer.actors._journal import OVERNIGHT_SECONDS, StepJournal
from bessemer.actors._people import People
from bessemer.actors._wire import HostRef, ask, encode
from bessemer.actors.apart import Builders, BuildJob, Machines, Measurement, Probers
from bessemer.actors.backends import capabilities
from bessemer.actors.backends._media import attachment_tokens
from bessemer.actors.backends.base import ModelRequest
from bessemer.actors.builders.base import BuildRequest, BuildResult
from bessemer.actors.probes.base import ProbeResult
from bessemer.actors.repair import Caller
from bessemer.actors.reviewer_host import Reviewed, ReviewJob
from bessemer.actors.reviewers import ReadingCaller, ReadOnlyFiles
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.home import Home
from bessemer.cluster.ledger.operations import LakeRecord, ReadLeft, ReadSpending, Spending
from bessemer.cluster.prices import PriceBook
from bessemer.cluster.records import ParticipationRecord
from bessemer.cluster.run import Run, Step, Ticket

REVIEW_SECONDS = 3600.0
"""A review may wait for a limiter and for retries; the run's own deadline is usually shorter."""


class Crew:
    """References to the hosts of one home; a host is made when it is first needed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.lake = lake_ref(home)
        machines = Machines()
        self.builders = Builders(home, machines)
        self.reviewers = reviewer_ref(home)
        self.probers = Probers(home, machines)
        self.backends = backend_client(home)
        self._priced: set[str] = set()
        """Backends whose prices are in memory."""

    @functools.cached_property
    def settings(self) -> BackendSettings:
        return BackendSettings.model_validate(self.home.settings.get("backends", {}))

    @functools.cached_property
    def _prices(self) -> PriceBook:
        return book_of(self.settings)

    def worst_case(self, request: ModelRequest) -> int:
        """What a call would reserve, in micro-dollars. Raises UnpricedModel."""
        seen = attachment_tokens(request.backend.partition("/")[0], request.attachments)
        return self._prices.worst_case(request.backend, request.most_tokens, request.max_output_tokens, seen)

    async def worst_cases(self, requests: Sequence[ModelRequest]) -> list[int]:
        """The same for several. A backend's prices are looked up once, in a thread, because that takes a moment."""
        asked = {request.backend for request in requests}
        if asked <= self._priced:
            return [self.worst_case(request) for request in requests]
        found = await asyncio.to_thread(lambda: [self.worst_case(request) for request in requests])
        self._priced |= asked
        return found

    def for_run(self, run: Run, people: People) -> RunCrew:
        return RunCrew(self, run, people)


class RunCrew:
    """The crew at work on one run."""

    def __init__(self, crew: Crew, run: Run, people: People) -> None:
        self._crew = crew
        self._run = run
        self.people = people
        self.home = crew.home

    async def warm_up(self, *, builds: bool) -> None:
        """Begin to start this machine's hosts for probes and reviews and, with `builds`, the one that builds."""
        crew = self._crew
        starts = [crew.probers.make, crew.reviewers.make, *([crew.builders.make] if builds else [])]
        for start in starts:
            await asyncio.to_thread(start)

    def within(self, part: Run) -> RunCrew:
        """The same crew for a part of the run: what it spends is counted from there."""
        return RunCrew(self._crew, part, self.people)

    def journal(self, step: Step, *, purpose: str) -> StepJournal:
        """The step with the right to buy calls in this process."""
        return StepJournal(step.ticket, self._run.ledger, self._crew.backends, purpose=purpose)

    def reader(self, step: Step, backend: str, files: ReadOnlyFiles | None, *, purpose: str) -> Caller:
        """The same, for a backend that may read `files` before it answers; one without tools is only asked."""
        journal = self.journal(step, purpose=purpose)
        if files is None or not capabilities(backend, self._crew.settings).tools:
            return journal
        return ReadingCaller(journal, files)

    async def build(self, step: Step, request: BuildRequest) -> BuildResult:
        """One candidate on a builder host. Raises BudgetExhausted when a cap refuses one of its calls."""
        if self._run.urgency == "overnight":
            request = request.model_copy(update={"timeout": OVERNIGHT_SECONDS})
        job = BuildJob(ticket=step.ticket, request=request)
        return await self._crew.builders.build(job, request.timeout + QUEUE_SECONDS)

    async def review(self, step: Step, job: ReviewJob) -> Reviewed:
        """One piece of a reviewer's work; its lake rows go with the step's result."""
        within = QUEUE_SECONDS + (OVERNIGHT_SECONDS if self._run.urgency == "overnight" else REVIEW_SECONDS)
        answer = await self._job(self._crew.reviewers, "review", step.ticket, job, within)
        reviewed = Reviewed.model_validate(answer)
        spent = await self._spent(step.ticket.path)
        step.record(*(_priced(row, spent.cost) for row in reviewed.rows))
        return reviewed

    async def measure(self, work: Measurement) -> tuple[ProbeResult, ...]:
        """Run probes on a commit, on whatever machine measures it as this one would; a result for each, in order."""
        return await self._crew.probers.measure(work)

    async def spending(self, path: str = "") -> Spending:
        """What calls of this run, or of this part of it, cost so far in a step and below it.

        For people: where it steers, it is to be observed.
        """
        return await self._spent(self._run.prefix + path)

    async def _spent(self, path: str) -> Spending:
        return await self._run.ledger.read_spending(ReadSpending(run=self._run.id, path=path))

    async def left(self) -> int | None:
        """Micro-dollars left under the tightest cap; None where there is none. To be observed where it steers."""
        return await self._run.ledger.read_left(ReadLeft(run=self._run.id))

    async def worst_cases(self, requests: Sequence[ModelRequest]) -> list[int]:
        """What each call would reserve, in micro-dollars. Raises UnpricedModel."""
        return await self._crew.worst_cases(requests)

    async def _job(self, host: HostRef, method: str, ticket: Ticket, job: BaseModel, within: float) -> Any:
        try:
            return await ask(host, method, job.model_dump_json().encode(), within=within)
        except asyncio.CancelledError:
            message = encode({"run": ticket.run, "path": ticket.path})
            await asyncio.shield(ask(host, "cancel", message, within=15))
            raise


def _priced(row: LakeRecord, cost: int) -> LakeRecord:
    """A dispatch's participation row with what its calls cost."""
    if row.table != ParticipationRecord.table:
        return row
    return row.model_copy(update={"row": {**row.row, "cost": cost}})
