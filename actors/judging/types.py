"""What judging speaks of: criteria, scores, findings, verdicts, tasks. Values that cannot lie.

Field names of `Verdict` and `NextTasks` follow the files they are written to (`verdict.json`, `next_tasks.json`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bessemer.cluster.canonical import content_hash

Category = Literal["must", "should", "could"]
Score = Annotated[int, Field(ge=1, le=10)]
Ceiling = Literal["ceiling_not_reached", "ceiling_approaching", "ceiling_reached"]
Impact = Literal["transformative", "structural", "incremental"]
Severity = Literal["info", "minor", "major", "blocker"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Criterion(_Frozen):
    """What is asked of the work. `must` is a hard gate: below the cutoff nothing converges."""

    id: str
    text: str
    category: Category = "should"
    probe: str = ""
    """The probe that scores this criterion where no model may judge; empty where only a model can."""
    verify_by: str = ""
    anti_patterns: tuple[str, ...] = ()
    score_anchors: dict[str, str] = Field(default_factory=dict)


class CriteriaSet(_Frozen):
    source: Literal["user", "file", "preset", "written", "probes"]
    criteria: tuple[Criterion, ...]
    aspiration: str = ""

    @property
    def content_hash(self) -> str:
        """SHA-256 of what is asked, wherever it came from: scores under another hash are not comparable."""
        return content_hash([criterion.model_dump(mode="json") for criterion in self.criteria])

    def by_id(self) -> dict[str, Criterion]:
        return {criterion.id: criterion for criterion in self.criteria}


class CriterionScore(_Frozen):
    """One criterion scored by one judge, with the evidence it gave and what code thought of that evidence."""

    criterion: str
    score: Score
    reason: str = ""
    evidence: str = ""
    """A quotation from the deliverable, or a probe's words."""
    evidence_found: bool | None = None
    """Whether the quotation stands in the deliverable; None where none was offered."""
    contradicts: str = ""
    """Name of the probe whose measurement the reason contradicts; empty if none."""


class NotScored(_Frozen):
    """A criterion that has no score, and why: never counted as a low one."""

    criterion: str
    why: Literal["no_probe", "probe_error", "abstained", "failed", "malformed"]
    message: str = ""


class Preserve(_Frozen):
    criterion_id: str
    what: str
    source: str = ""


class Finding(_Frozen):
    """One defect a reviewer names."""

    finding_id: str
    title: str
    body: str = ""
    severity: Severity = "major"
    klass: str = "correctness"
    criterion: str = ""
    file: str = ""
    line: int = 0
    evidence: str = ""
    evidence_found: bool | None = None


class Verdict(_Frozen):
    """Computed by code from scores; `not_judged` is its own word and never `iterate`."""

    schema_version: Literal["1"] = "1"
    verdict: Literal["converged", "iterate", "not_judged"]
    judge: str
    """Backend that scored, or `probes`."""
    scores: tuple[CriterionScore, ...]
    not_scored: tuple[NotScored, ...] = ()
    failed_criteria: tuple[str, ...] = ()
    preserve: tuple[Preserve, ...] = ()
    explanation: str
    not_verified: tuple[str, ...] = ()
    """Deliverable classes for which no probe could run."""


class SuccessContract(_Frozen):
    outcome_statement: str
    quality_bar: str
    fail_if_any: tuple[str, ...] = Field(min_length=1)
    required_evidence: tuple[str, ...] = Field(min_length=1)


class ParadigmShift(_Frozen):
    recommended: bool = False
    current_limitation: str = ""
    alternative_approach: str = ""
    transferable_elements: tuple[str, ...] = ()


class Breakthrough(_Frozen):
    element: str
    why: str
    amplification: str


class ApproachAssessment(_Frozen):
    ceiling_status: Ceiling = "ceiling_not_reached"
    ceiling_explanation: str = ""
    breakthroughs: tuple[Breakthrough, ...] = ()
    paradigm_shift: ParadigmShift = ParadigmShift()


class TaskExecution(_Frozen):
    mode: Literal["inline", "delegate"] = "delegate"


class TaskMetadata(_Frozen):
    impact: Impact = "incremental"
    relates_to: tuple[str, ...] = ()


class Task(_Frozen):
    """One deliverable, one defect family: what one builder is given."""

    id: str
    task_category: Literal["fix", "evolution"] = "fix"
    strategy_role: Literal["thesis_shift", "supporting_fix"] = "supporting_fix"
    description: str
    implementation_guidance: str = ""
    priority: Literal["high", "medium", "low"] = "medium"
    depends_on: tuple[str, ...] = ()
    chunk: str = "c1"
    execution: TaskExecution = TaskExecution()
    verification: str = "the probes do not get worse"
    verification_method: str = ""
    success_criteria: str = ""
    failure_signals: tuple[str, ...] = ()
    required_evidence: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Relative paths the task is about; empty lets the builder look."""
    probe: str = ""
    """The probe whose findings the task is to remove; empty where a model judges."""
    finding_codes: tuple[str, ...] = ()
    """Codes of the probe findings this task is about."""
    metadata: TaskMetadata = TaskMetadata()


class NextTasks(_Frozen):
    schema_version: Literal["2"] = "2"
    objective: str
    primary_strategy: str
    why_this_strategy: str = ""
    strategy_mode: Literal["incremental_refinement", "thesis_shift"] = "incremental_refinement"
    incremental_override_reason: str = ""
    success_contract: SuccessContract
    approach_assessment: ApproachAssessment = ApproachAssessment()
    deprioritize_or_remove: tuple[str, ...] = ()
    fix_tasks: tuple[Task, ...] = ()
    evolution_tasks: tuple[Task, ...] = ()


class GuardDimension(_Frozen):
    criterion: str
    answer_a_score: Score
    answer_b_score: Score
    stronger: Literal["A", "B", "equivalent"]
    difference: Literal["substantial", "marginal"] = "marginal"
    evidence: str = ""


class GuardVerdict(_Frozen):
    """The blind comparison, mapped back by code: which side was the candidate is known only to code."""

    verdict: Literal["pass", "fail", "mixed"]
    summary: str
    dimensions: tuple[GuardDimension, ...] = ()
    lost: tuple[str, ...] = ()
    """Criteria or probes on which the candidate fell behind."""
    won: tuple[str, ...] = ()
    judge: str = "probes"


class ProcessVerdict(_Frozen):
    """How the work was done, never how good it is."""

    schema_version: Literal["1"] = "1"
    scores: dict[str, Score] = Field(default_factory=dict)
    key_learnings: tuple[str, ...] = ()
    effective_patterns: tuple[str, ...] = ()
    total_tool_calls: int = 0
    total_errors: int = 0
    avoidable_errors: int = 0
