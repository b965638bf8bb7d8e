"""The rows of the lake: one frozen record class per table.

Money is integer micro-dollars. Times are UTC. `run` and `path` (the step) join every table with the ledger;
`persona_content_hash` says which version of a persona spoke. Columns are only ever added, with a default.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bessemer.cluster.ledger.operations import LakeRecord

SCHEMA_VERSION = 1


def _now() -> str:
    return datetime.now(UTC).isoformat()


class Record(BaseModel):
    """What every row has. `table` is the table's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: ClassVar[str] = ""

    schema_version: int = SCHEMA_VERSION
    at: str = Field(default_factory=_now)
    """When the row was made, ISO 8601 in UTC."""
    run: str = ""
    path: str = ""
    """Path of the step in its run."""

    def to_lake(self) -> LakeRecord:
        """The record as a message for the ledger's outbox."""
        return LakeRecord(table=self.table, row=self.model_dump(mode="json"))


class RunRecord(Record):
    """One ended run."""

    table: ClassVar[str] = "runs"
    pipeline: str = ""
    ending: str = ""
    exit_code: int = 0
    task: str = ""
    build_backend: str = ""
    eval_backend: str = ""
    rounds: int = 0
    seconds: float = 0.0
    cost: int = 0
    in_doubt: int = 0
    version: str = ""
    code_hash: str = ""


class StepRecord(Record):
    """One finished step that did paid or measured work."""

    table: ClassVar[str] = "steps"
    kind: str = ""
    status: str = ""
    seconds: float = 0.0
    backend: str = ""
    tool_calls: int = 0
    tool_errors: int = 0
    kept: bool = False


class CallRecord(Record):
    """One paid call, settled or given up on."""

    table: ClassVar[str] = "calls"
    index: int = 0
    attempt: str = ""
    attempts: int = 0
    backend: str = ""
    provider: str = ""
    model: str = ""
    persona: str = ""
    persona_content_hash: str = ""
    purpose: str = ""
    request_hash: str = ""
    request_id: str = ""
    sent_at: str = ""
    seconds: float = 0.0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    price_version: str = ""
    finish: str = ""
    failure: str = ""


class RoundRecord(Record):
    """One round of a refinement."""

    table: ClassVar[str] = "rounds"
    round: int = 0
    commit: str = ""
    verdict: str = ""
    guard: str = ""
    ceiling: str = ""
    tasks_tried: int = 0
    tasks_accepted: int = 0
    seconds: float = 0.0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0


class ScoreRecord(Record):
    """One criterion scored by one judge."""

    table: ClassVar[str] = "scores"
    round: int = 0
    subject: str = ""
    criterion: str = ""
    category: str = ""
    score: int = 0
    judge: str = ""
    persona_content_hash: str = ""
    evidence_found: bool | None = None
    contradicts: str = ""


class VerdictRecord(Record):
    """One verdict, as code computed it."""

    table: ClassVar[str] = "verdicts"
    round: int = 0
    verdict: str = ""
    judge: str = ""
    failed_criteria: list[str] = Field(default_factory=list)
    not_scored: list[str] = Field(default_factory=list)
    explanation: str = ""


class FindingRecord(Record):
    """One defect a reviewer named."""

    table: ClassVar[str] = "findings"
    round: int = 0
    stage: str = ""
    persona: str = ""
    persona_content_hash: str = ""
    backend: str = ""
    model: str = ""
    finding_id: str = ""
    normalized_signature: str = ""
    title: str = ""
    body: str = ""
    severity: str = ""
    klass: str = ""
    criterion: str = ""
    file: str = ""
    line: int = 0
    evidence: str = ""
    evidence_found: bool | None = None


class ParticipationRecord(Record):
    """One reviewer sent out once."""

    table: ClassVar[str] = "participation"
    round: int = 0
    stage: str = ""
    persona: str = ""
    persona_content_hash: str = ""
    backend: str = ""
    model: str = ""
    status: str = ""
    findings_emitted: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    failure: str = ""


class SurvivalRecord(Record):
    """What became of a finding downstream."""

    table: ClassVar[str] = "survival"
    finding_id: str = ""
    outcome: str = ""
    artifact_hash: str = ""
    judged_by: str = ""


class VoteRecord(Record):
    """One vote in a consensus, bound to the answers that were shown."""

    table: ClassVar[str] = "votes"
    round: int = 0
    voter: str = ""
    target: str = ""
    target_hash: str = ""
    stale: bool = False
    reason: str = ""


class CaseRecord(Record):
    """One test case of a skill evaluation."""

    table: ClassVar[str] = "cases"
    skill: str = ""
    case: str = ""
    prompt_hash: str = ""


class TrialRecord(Record):
    """One trial of one arm on one case."""

    table: ClassVar[str] = "trials"
    skill: str = ""
    case: str = ""
    arm: str = ""
    trial: int = 0
    backend: str = ""
    seconds: float = 0.0
    tokens: int = 0
    cost: int = 0


class GradeRecord(Record):
    """One expectation graded on one trial."""

    table: ClassVar[str] = "grades"
    skill: str = ""
    case: str = ""
    arm: str = ""
    trial: int = 0
    expectation: str = ""
    passed: bool | None = None
    evidence: str = ""


class ProbeRecord(Record):
    """One measurement."""

    table: ClassVar[str] = "probes"
    round: int = 0
    probe: str = ""
    status: str = ""
    passed: int = 0
    total: int = 0
    measure: float | None = None
    better: str = "higher"
    findings: int = 0
    seconds: float = 0.0
    commit: str = ""


class EventRecord(Record):
    """Something people should be able to find later."""

    table: ClassVar[str] = "events"
    kind: str = ""
    text: str = ""


TABLES: dict[str, type[Record]] = {record.table: record for record in Record.__subclasses__()}
"""Every table by name."""
