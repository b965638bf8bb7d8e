"""The rows of the lake: one frozen record class per table, each column with its meaning.

Money is integer micro-dollars. Times are UTC. `run` and `path` (the step) join every table with the ledger's run and
step; `persona_content_hash` says which version of a persona spoke. Columns are only ever added, with a default, and
`SCHEMA_VERSION` rises with them. In a column that may be null, null means "not recorded", never zero and never "no".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bessemer.cluster.ledger.operations import LakeRecord

SCHEMA_MAJOR = 1
"""Rises when a column changes its type or meaning; a lake of a newer major version is refused."""
SCHEMA_VERSION = 5
"""Rises when columns are added; written into every row."""

Round = Annotated[int, "Round of the run, from 1; 0 where there is none."]
Backend = Annotated[str, "Backend as `provider/model`; empty where no model was asked."]
Model = Annotated[str, "Model as the provider names it in its answer."]
Persona = Annotated[str, "Name of the persona."]
PersonaHash = Annotated[str, "SHA-256 of the persona's file: which version of it spoke."]
Stage = Annotated[str, "What the persona was asked for: evaluation, trace, guard, criteria, or a gate's name."]
Seconds = Annotated[float, "Wall-clock seconds."]
Cost = Annotated[int, "Micro-dollars."]
Input = Annotated[int, "Input tokens."]
Output = Annotated[int, "Output tokens, reasoning included."]
Skill = Annotated[str, "Name of the skill."]
Case = Annotated[str, "Identifier of the case in its skill's set."]
Arm = Annotated[str, "Arm of the trial, for example `skill` or `baseline`."]
Trial = Annotated[int, "Number of the trial in its arm and case."]
Commit = Annotated[str | None, "Commit of the deliverable that was looked at."]
CriteriaHash = Annotated[str | None, "SHA-256 of the criteria: scores under another hash are not comparable."]


def _now() -> str:
    return datetime.now(UTC).isoformat()


class Record(BaseModel):
    """What every row has. `table` is the table's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: ClassVar[str] = ""

    schema_version: Annotated[int, "Version of the record class that made the row."] = SCHEMA_VERSION
    at: Annotated[str, "When the row was made: ISO 8601 in the row, a UTC timestamp in the lake."] = Field(
        default_factory=_now
    )
    run: Annotated[str, "Id of the run."] = ""
    path: Annotated[str, "Path of the step in its run."] = ""

    def to_lake(self) -> LakeRecord:
        """The record as a message for the ledger's outbox."""
        return LakeRecord(table=self.table, row=self.model_dump(mode="json"))


class RunRecord(Record):
    """One ended run."""

    table: ClassVar[str] = "runs"
    pipeline: Annotated[str, "Name of the pipeline."] = ""
    ending: Annotated[str, "How it ended, for example converged, plateau, budget."] = ""
    exit_code: Annotated[int, "What the command ended with."] = 0
    task: Annotated[str, "What was asked for."] = ""
    build_backend: Annotated[str, "Backend that built."] = ""
    eval_backend: Annotated[str, "Backend that judged."] = ""
    rounds: Annotated[int, "Rounds begun."] = 0
    seconds: Seconds = 0.0
    cost: Cost = 0
    in_doubt: Annotated[int, "Calls lost in flight, charged at their worst case."] = 0
    version: Annotated[str, "Version of Bessemer."] = ""
    code_hash: Annotated[str, "Hash of the code that ran."] = ""
    calls: Annotated[int | None, "Calls that have an outcome."] = None
    input_tokens: Annotated[int | None, "Input tokens."] = None
    output_tokens: Annotated[int | None, "Output tokens, reasoning included."] = None
    budget: Annotated[int | None, "Cap on the run in micro-dollars; null where it had none."] = None
    criteria_hash: CriteriaHash = None
    continued: Annotated[bool | None, "Whether it was resumed after an interruption."] = None


class StepRecord(Record):
    """One finished step that did paid or measured work."""

    table: ClassVar[str] = "steps"
    kind: Annotated[str, "What kind of work it was."] = ""
    status: Annotated[str, "How it ended."] = ""
    seconds: Seconds = 0.0
    backend: Backend = ""
    tool_calls: Annotated[int, "Tools run by the model."] = 0
    tool_errors: Annotated[int, "Tools that answered with an error."] = 0
    kept: Annotated[bool, "Whether the result was kept."] = False
    calls: Annotated[int | None, "Calls made."] = None
    input_tokens: Annotated[int | None, "Input tokens."] = None
    output_tokens: Annotated[int | None, "Output tokens, reasoning included."] = None
    cost: Annotated[int | None, "Micro-dollars."] = None
    commit: Annotated[str | None, "Commit that the step made."] = None
    failure: Annotated[str | None, "Kind of the failure; null where there was none."] = None


class CallRecord(Record):
    """One paid call, settled or given up on."""

    table: ClassVar[str] = "calls"
    index: Annotated[int, "Index of the call in its step."] = 0
    attempt: Annotated[str, "Key of the attempt that ended the call."] = ""
    attempts: Annotated[int, "Attempts made by the host that ended the call."] = 0
    backend: Backend = ""
    provider: Annotated[str, "Provider part of the backend."] = ""
    model: Model = ""
    persona: Persona = ""
    persona_content_hash: PersonaHash = ""
    purpose: Annotated[str, "What the answer was for."] = ""
    request_hash: Annotated[str, "SHA-256 of the request's canonical content."] = ""
    request_id: Annotated[str, "The provider's own id of the request."] = ""
    sent_at: Annotated[str, "When the last attempt was sent, ISO 8601 in UTC."] = ""
    seconds: Seconds = 0.0
    input_tokens: Input = 0
    cache_read_tokens: Annotated[int, "Input tokens read from the provider's cache."] = 0
    cache_write_tokens: Annotated[int, "Input tokens written to the provider's cache."] = 0
    output_tokens: Output = 0
    reasoning_tokens: Annotated[int, "The part of the output tokens that was reasoning."] = 0
    cost: Cost = 0
    price_version: Annotated[str, "Version of the price table that was used."] = ""
    finish: Annotated[str, "Why the model stopped."] = ""
    failure: Annotated[str, "Kind of the failure; empty for an answer."] = ""
    urgency: Annotated[str | None, "`now` or `overnight` (a batch)."] = None
    in_doubt: Annotated[bool | None, "Whether an attempt of this call was lost in flight."] = None
    attempts_lost: Annotated[int | None, "Attempts lost in flight; their worst case is no part of `cost`."] = None
    provider_seconds: Annotated[float | None, "Seconds of the request that was answered, without waiting."] = None
    answer_hash: Annotated[str | None, "SHA-256 of the answer's text, or of its data."] = None
    failure_message: Annotated[str | None, "The failure in a sentence."] = None
    max_output_tokens: Annotated[int | None, "Limit on output tokens that was asked for."] = None
    temperature: Annotated[float | None, "Temperature that was asked for."] = None
    seed: Annotated[int | None, "Seed that was asked for."] = None
    effort: Annotated[str | None, "Reasoning effort that was asked for."] = None
    cache_write_1h_tokens: Annotated[int | None, "The part of the cache writes that is kept for an hour."] = None
    tier: Annotated[str | None, "Processing tier in the vendor's word; empty where it names none."] = None
    vendor_cost: Annotated[float | None, "What the vendor says the call cost, in micro-dollars."] = None


class RoundRecord(Record):
    """One round of a refinement."""

    table: ClassVar[str] = "rounds"
    round: Round = 0
    commit: Annotated[str, "Commit of the submission."] = ""
    verdict: Annotated[str, "The round's verdict."] = ""
    guard: Annotated[str, "What the regression guard said; empty where it was skipped."] = ""
    ceiling: Annotated[str, "The ceiling status."] = ""
    tasks_tried: Annotated[int, "Tasks tried."] = 0
    tasks_accepted: Annotated[int, "Tasks whose result was kept."] = 0
    seconds: Seconds = 0.0
    calls: Annotated[int, "Calls made."] = 0
    input_tokens: Input = 0
    output_tokens: Output = 0
    cost: Cost = 0
    criteria_hash: CriteriaHash = None
    in_doubt: Annotated[int | None, "Calls lost in flight."] = None


class ScoreRecord(Record):
    """One criterion scored by one judge."""

    table: ClassVar[str] = "scores"
    round: Round = 0
    subject: Annotated[str, "What was scored."] = ""
    criterion: Annotated[str, "Id of the criterion."] = ""
    category: Annotated[str, "The criterion's category."] = ""
    score: Annotated[int, "1 to 10; 0 is no score."] = 0
    judge: Annotated[str, "Who scored."] = ""
    persona_content_hash: PersonaHash = ""
    evidence_found: Annotated[bool | None, "Whether the quoted evidence stands in the deliverable."] = None
    contradicts: Annotated[str, "Probe that the score contradicts."] = ""
    backend: Annotated[str | None, "Backend of the judge."] = None
    model: Annotated[str | None, "Model of the judge."] = None
    sample: Annotated[int | None, "Which of the judge's repeated scorings, from 0."] = None
    threshold: Annotated[int | None, "Least score that passes."] = None
    evidence: Annotated[str | None, "Quote from the deliverable."] = None
    criteria_hash: CriteriaHash = None
    commit: Commit = None


class VerdictRecord(Record):
    """One verdict, as code computed it."""

    table: ClassVar[str] = "verdicts"
    round: Round = 0
    verdict: Annotated[str, "The verdict."] = ""
    judge: Annotated[str, "Whose answers it was computed from."] = ""
    failed_criteria: Annotated[list[str], "Criteria that failed."] = Field(default_factory=list)
    not_scored: Annotated[list[str], "Criteria without a score."] = Field(default_factory=list)
    explanation: Annotated[str, "Why, in a sentence."] = ""
    judges: Annotated[int | None, "Judges whose verdicts it was computed from."] = None
    judges_agreeing: Annotated[int | None, "Of those, how many came to this verdict alone."] = None
    criteria_hash: CriteriaHash = None
    commit: Commit = None


class FindingRecord(Record):
    """One defect a reviewer named."""

    table: ClassVar[str] = "findings"
    round: Round = 0
    stage: Stage = ""
    persona: Persona = ""
    persona_content_hash: PersonaHash = ""
    backend: Backend = ""
    model: Model = ""
    finding_id: Annotated[str, "Stage prefix and digits of the signature; joins with `survival`."] = ""
    normalized_signature: Annotated[str, "SHA-256 of the normalised text: equal for the same finding."] = ""
    title: Annotated[str, "One line."] = ""
    body: Annotated[str, "The whole statement."] = ""
    severity: Annotated[str, "How bad it is."] = ""
    klass: Annotated[str, "Class of the defect."] = ""
    criterion: Annotated[str, "Id of the criterion it counts against."] = ""
    file: Annotated[str, "File it is in."] = ""
    line: Annotated[int, "Line, from 1; 0 for the whole file."] = 0
    evidence: Annotated[str, "Quote from the deliverable."] = ""
    evidence_found: Annotated[bool | None, "Whether that quote stands there."] = None
    personas: Annotated[list[str] | None, "Every persona that named it, once a judge has merged them."] = None
    source_finding_ids: Annotated[list[str] | None, "Findings that the judge merged into this one."] = None
    unique_to_persona: Annotated[str | None, "The one persona that named it; empty where several did."] = None
    tags: Annotated[list[str] | None, "Tags, for example `sev:security`."] = None
    class_inferred: Annotated[bool | None, "Whether code set the class because the reviewer gave none."] = None
    commit: Commit = None


class ParticipationRecord(Record):
    """One reviewer sent out once."""

    table: ClassVar[str] = "participation"
    round: Round = 0
    stage: Stage = ""
    persona: Persona = ""
    persona_content_hash: PersonaHash = ""
    backend: Backend = ""
    model: Model = ""
    status: Annotated[str, "How it ended; only `ok` counts as having taken part."] = ""
    findings_emitted: Annotated[int, "Findings named, before a judge merged any."] = 0
    calls: Annotated[int, "Calls made."] = 0
    input_tokens: Input = 0
    output_tokens: Output = 0
    seconds: Seconds = 0.0
    failure: Annotated[str, "Kind of the failure; empty where there was none."] = ""
    cost: Annotated[int | None, "Micro-dollars."] = None
    findings_kept: Annotated[int | None, "Findings a judge kept; null where none judged."] = None
    attempts_lost: Annotated[int | None, "Attempts lost in flight."] = None
    commit: Commit = None


class SurvivalRecord(Record):
    """What became of a finding downstream."""

    table: ClassVar[str] = "survival"
    finding_id: Annotated[str, "The finding."] = ""
    outcome: Annotated[str, "addressed, not_addressed, rejected_intentionally or classifier_error."] = ""
    artifact_hash: Annotated[str, "SHA-256 of the revised deliverable that was looked at."] = ""
    judged_by: Annotated[str, "Backend or code that judged."] = ""
    stage: Annotated[str | None, "Stage that named the finding."] = None
    evidence: Annotated[str | None, "Quote from the revised deliverable."] = None
    confidence: Annotated[str | None, "high, medium or low."] = None
    round: Annotated[int | None, "Round in which the finding was named."] = None
    persona: Annotated[str | None, "Persona that named the finding."] = None
    persona_content_hash: Annotated[str | None, "SHA-256 of that persona's file."] = None
    normalized_signature: Annotated[str | None, "Signature of the finding; joins with `findings` across runs."] = None


class VoteRecord(Record):
    """One vote in a consensus, bound to the answers that were shown."""

    table: ClassVar[str] = "votes"
    round: Round = 0
    voter: Annotated[str, "Who voted."] = ""
    target: Annotated[str, "Agents whose answer was voted for; empty without a vote."] = ""
    target_hash: Annotated[str, "Content hash of the answer voted for, or given."] = ""
    stale: Annotated[bool, "Whether a newer answer had come by then."] = False
    reason: Annotated[str, "Why."] = ""
    failure: Annotated[str | None, "Kind of the failure that left no vote; null where there was none."] = None
    backend: Annotated[str | None, "Backend of the voter."] = None
    persona_content_hash: Annotated[str | None, "SHA-256 of the voter's persona file."] = None
    kind: Annotated[str | None, "What the turn was: answer, vote, score, abstain, failed."] = None
    won: Annotated[bool | None, "Whether `target_hash` was decided on; null where nothing was."] = None
    position: Annotated[int | None, "Place of the target among the answers shown, from 1."] = None
    shown: Annotated[int | None, "Answers that were shown."] = None
    score: Annotated[int | None, "Of two agents: the score given to the other's answer, in hundredths."] = None


class CaseRecord(Record):
    """One test case of a skill evaluation."""

    table: ClassVar[str] = "cases"
    skill: Skill = ""
    case: Case = ""
    prompt_hash: Annotated[str, "SHA-256 of the case's prompt."] = ""
    split: Annotated[str | None, "train, validation or held_out."] = None
    expectations: Annotated[int | None, "Number of expectations."] = None


class TrialRecord(Record):
    """One trial of one arm on one case."""

    table: ClassVar[str] = "trials"
    skill: Skill = ""
    case: Case = ""
    arm: Arm = ""
    trial: Trial = 0
    backend: Backend = ""
    seconds: Seconds = 0.0
    tokens: Annotated[int, "All tokens, in and out."] = 0
    cost: Cost = 0
    skill_hash: Annotated[str | None, "SHA-256 of the skill's files: which version was tried."] = None
    input_tokens: Annotated[int | None, "Input tokens."] = None
    output_tokens: Annotated[int | None, "Output tokens, reasoning included."] = None
    output_hash: Annotated[str | None, "SHA-256 of the output that was graded."] = None
    failure: Annotated[str | None, "Kind of the failure; a failed trial is missing, not lost."] = None
    model: Annotated[str | None, "Model as the provider names it in its answer."] = None
    attempts_lost: Annotated[int | None, "Attempts lost in flight."] = None


class GradeRecord(Record):
    """One expectation graded on one trial."""

    table: ClassVar[str] = "grades"
    skill: Skill = ""
    case: Case = ""
    arm: Arm = ""
    trial: Trial = 0
    expectation: Annotated[str, "The expectation."] = ""
    passed: Annotated[bool | None, "Whether it held; null where it was not graded."] = None
    evidence: Annotated[str, "Why, in a sentence."] = ""
    grader: Annotated[str | None, "Backend or code that graded."] = None
    persona_content_hash: Annotated[str | None, "SHA-256 of the grader's persona file."] = None
    failure: Annotated[str | None, "Kind of the failure that left no grade."] = None
    expectation_index: Annotated[int | None, "Number of the expectation in its case, from 0."] = None
    output_hash: Annotated[str | None, "SHA-256 of the output that was graded; joins with `trials`."] = None
    cost: Annotated[int | None, "Micro-dollars."] = None


class ProbeRecord(Record):
    """One measurement."""

    table: ClassVar[str] = "probes"
    round: Round = 0
    probe: Annotated[str, "Name of the probe."] = ""
    status: Annotated[str, "How the measurement ended."] = ""
    passed: Annotated[int, "Checks passed."] = 0
    total: Annotated[int, "Checks run."] = 0
    measure: Annotated[float | None, "What was measured, where it is a number."] = None
    better: Annotated[str, "`higher` or `lower`: which way is better."] = "higher"
    findings: Annotated[int, "Findings named."] = 0
    seconds: Seconds = 0.0
    commit: Annotated[str, "Commit that was measured."] = ""
    unit: Annotated[str | None, "Unit of the measure, for example `ms` or `percent`."] = None


class EventRecord(Record):
    """Something people should be able to find later."""

    table: ClassVar[str] = "events"
    kind: Annotated[str, "What kind of event."] = ""
    text: Annotated[str, "What happened, in one line."] = ""


class QuarantineRecord(Record):
    """One row of the outbox that its table could not take, as it was found."""

    table: ClassVar[str] = "quarantine"
    publisher: Annotated[str, "Ledger and keeper that the row waited in."] = ""
    seq: Annotated[int, "Its sequence number there."] = 0
    intended_table: Annotated[str, "Table it was meant for."] = ""
    reason: Annotated[str, "Why it could not be taken, in a sentence."] = ""
    row: Annotated[str, "The row as it was found, usually JSON."] = ""


TABLES: dict[str, type[Record]] = {record.table: record for record in Record.__subclasses__()}
"""Every table by name."""
