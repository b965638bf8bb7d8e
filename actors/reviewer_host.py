"""Where personas work: prompt to structured, evidence-checked answer; and their siblings that need no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import ray
from pydantic import BaseModel, ConfigDict

from bessemer.actors import reviewers
from bessemer.actors._hosts import backend_client, ledger_client
from bessemer.actors._jobs import Jobs
from bessemer.actors._journal import StepJournal
from bessemer.actors._placement import whereabouts
from bessemer.actors._pulse import Living
from bessemer.actors._raylet import end_with_raylet
from bessemer.actors._wire import MESSAGES, decode, reply
from bessemer.actors.backends import capabilities
from bessemer.actors.backends.agents import call_seconds
from bessemer.actors.builders.base import BuildResult
from bessemer.actors.judging.types import CriteriaSet, GuardVerdict
from bessemer.actors.reviewers import (
    Dispatch,
    Evaluation,
    Persona,
    ProcessReport,
    RaisedCriteria,
    ReviewSettings,
    Subject,
    lake_rows,
)
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.home import Home
from bessemer.cluster.ledger.operations import LakeRecord
from bessemer.cluster.run import Ticket

SLOTS = 64
"""Reviews in hand at once: they wait for models."""

PERSONAS = {
    "evaluate": "round-evaluator",
    "trace": "execution-trace-analyzer",
    "compare": "regression-guard",
    "criteria": "criteria-writer",
    "raise": "criteria-raiser",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReviewJob(_Frozen):
    """One piece of a reviewer's work under one ticket."""

    ticket: Ticket
    kind: Literal["evaluate", "trace", "compare", "criteria", "raise"]
    backend: str = ""
    """Empty where no model may judge: then what probes and counts say is the answer."""
    round: int = 0
    subject: Subject | None = None
    """What is judged; for `compare` the candidate."""
    previous: Subject | None = None
    candidate_is: Literal["A", "B"] = "B"
    probes: tuple[str, ...] = ()
    """Names of the probes that criteria may be bound to."""
    scores: dict[str, int] = {}
    """Of `raise`: what the subject scored, by criterion."""
    attempts: dict[str, int] = {}
    builds: tuple[BuildResult, ...] = ()
    tried: int = 0
    accepted: int = 0
    token: str = ""


class Reviewed(_Frozen):
    """What came of it, in the field of its kind, with the rows that tell the lake of the dispatch."""

    evaluation: Evaluation | None = None
    process: ProcessReport | None = None
    guard: GuardVerdict | None = None
    criteria: CriteriaSet | None = None
    raised: RaisedCriteria | None = None
    rows: tuple[LakeRecord, ...] = ()


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0, max_concurrency=MESSAGES)
class ReviewerHost(Living):
    """Hosts the reviewers of one node."""

    def __init__(self, home: bytes) -> None:
        end_with_raylet()
        self._home = Home.model_validate_json(home)
        self._jobs = Jobs(SLOTS)
        self._ledger = ledger_client(self._home)
        self._backends = backend_client(self._home)

    @reply
    async def review(self, payload: bytes) -> dict[str, Any]:
        """A ReviewJob in, a Reviewed out."""
        job = ReviewJob.model_validate_json(payload)
        reviewed = await self._jobs.do(job.ticket, lambda: self._review(job))
        return reviewed.model_dump(mode="json")

    @reply
    async def cancel(self, payload: bytes) -> int:
        message = decode(payload)
        return await self._jobs.cancel(message["run"], message.get("path", ""))

    @reply
    async def describe(self, payload: bytes) -> dict[str, Any]:
        return {"hosts": self._jobs.names() or sorted(PERSONAS.values()), **whereabouts()}

    async def _review(self, job: ReviewJob) -> Reviewed:
        work = {
            "evaluate": self._evaluate,
            "trace": self._trace,
            "compare": self._compare,
            "criteria": self._criteria,
            "raise": self._raise,
        }
        return await work[job.kind](job)

    async def _evaluate(self, job: ReviewJob) -> Reviewed:
        subject = _needed(job.subject)
        if job.backend:
            found = await reviewers.evaluate(subject, self._persona(job), self._journal(job), self._settings(job))
        else:
            found = reviewers.evaluate_by_probes(subject, job.attempts)
        return Reviewed(evaluation=found, rows=_rows(job, found.dispatch, found))

    async def _trace(self, job: ReviewJob) -> Reviewed:
        if job.backend:
            report = await reviewers.analyze_trace(
                job.builds,
                tried=job.tried,
                accepted=job.accepted,
                token=job.token,
                persona=self._persona(job),
                journal=self._journal(job),
                settings=self._settings(job),
            )
        else:
            report = reviewers.analyze_by_counts(job.builds, tried=job.tried, accepted=job.accepted)
        return Reviewed(process=report, rows=_rows(job, report.dispatch))

    async def _compare(self, job: ReviewJob) -> Reviewed:
        previous, candidate = _needed(job.previous), _needed(job.subject)
        if job.backend:
            found = await reviewers.compare(
                previous,
                candidate,
                candidate_is=job.candidate_is,
                persona=self._persona(job),
                journal=self._journal(job),
                settings=self._settings(job),
            )
        else:
            found = reviewers.compare_by_probes(previous, candidate)
        return Reviewed(guard=found.guard, rows=_rows(job, found.dispatch))

    async def _criteria(self, job: ReviewJob) -> Reviewed:
        written = await reviewers.write_criteria(
            _needed(job.subject), job.probes, self._persona(job), self._journal(job), self._settings(job)
        )
        return Reviewed(criteria=written.criteria, rows=_rows(job, written.dispatch))

    async def _raise(self, job: ReviewJob) -> Reviewed:
        raised = await reviewers.raise_criteria(
            _needed(job.subject), job.scores, self._persona(job), self._journal(job), self._settings(job)
        )
        return Reviewed(raised=raised, rows=_rows(job, raised.dispatch))

    def _persona(self, job: ReviewJob) -> Persona:
        return reviewers.load_persona(PERSONAS[job.kind], Path(self._home.state_dir) / "personas")

    def _journal(self, job: ReviewJob) -> StepJournal:
        persona = self._persona(job)
        return StepJournal(
            job.ticket,
            self._ledger,
            self._backends,
            purpose=job.kind,
            persona=persona.name,
            persona_content_hash=persona.content_hash,
        )

    def _settings(self, job: ReviewJob) -> ReviewSettings:
        backends = BackendSettings.model_validate(self._home.settings.get("backends", {}))
        seconds = call_seconds(job.backend, backends)
        more = {} if seconds is None else {"timeout": seconds}
        return ReviewSettings(backend=job.backend, tools=capabilities(job.backend, backends).tools, **more)


def _rows(job: ReviewJob, dispatch: Dispatch, found: Evaluation | None = None) -> tuple[LakeRecord, ...]:
    findings = found.findings if found else ()
    return lake_rows(dispatch, findings, run=job.ticket.run, path=job.ticket.path, round_number=job.round)


def _needed(subject: Subject | None) -> Subject:
    if subject is None:
        raise ValueError("this kind of review needs a subject")
    return subject
