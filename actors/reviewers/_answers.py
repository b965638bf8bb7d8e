"""The shapes models answer in. Every field is required and may be null or empty, so that no provider needs defaults.

Numbers are checked by code and not by the schema, because providers differ in what their schemas can say.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from bessemer.actors.judging.types import Category, Ceiling, Impact, Severity


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ScoreAnswer(_Answer):
    criterion: str
    score: int | None
    reason: str
    evidence: str


class FindingAnswer(_Answer):
    title: str
    body: str
    severity: Severity
    klass: str
    criterion: str
    file: str
    evidence: str


class PreserveAnswer(_Answer):
    criterion: str
    what: str


class TaskAnswer(_Answer):
    id: str
    description: str
    implementation_guidance: str
    priority: Literal["high", "medium", "low"]
    strategy_role: Literal["thesis_shift", "supporting_fix"]
    impact: Impact
    depends_on: list[str]
    relates_to: list[str]
    files: list[str]
    verification: str
    success_criteria: str
    failure_signals: list[str]
    required_evidence: list[str]


class ContractAnswer(_Answer):
    outcome_statement: str
    quality_bar: str
    fail_if_any: list[str]
    required_evidence: list[str]


class ShiftAnswer(_Answer):
    recommended: bool
    current_limitation: str
    alternative_approach: str
    transferable_elements: list[str]


class BreakthroughAnswer(_Answer):
    element: str
    why: str
    amplification: str


class NextTasksAnswer(_Answer):
    objective: str
    primary_strategy: str
    why_this_strategy: str
    strategy_mode: Literal["incremental_refinement", "thesis_shift"]
    incremental_override_reason: str
    success_contract: ContractAnswer
    ceiling_status: Ceiling
    ceiling_explanation: str
    breakthroughs: list[BreakthroughAnswer]
    paradigm_shift: ShiftAnswer
    deprioritize_or_remove: list[str]
    fix_tasks: list[TaskAnswer]
    evolution_tasks: list[TaskAnswer]


class EvaluationAnswer(_Answer):
    """`evaluation/1`."""

    criteria_interpretation: str
    scores: list[ScoreAnswer]
    findings: list[FindingAnswer]
    preserve: list[PreserveAnswer]
    unexplored: list[str]
    evidence_gaps: list[str]
    next_tasks: NextTasksAnswer | None


class DimensionAnswer(_Answer):
    criterion: str
    answer_a_score: int
    answer_b_score: int
    stronger: Literal["A", "B", "equivalent"]
    difference: Literal["substantial", "marginal"]
    evidence: str


class ComparisonAnswer(_Answer):
    """`comparison/1`."""

    summary: str
    dimensions: list[DimensionAnswer]


class AspectAnswer(_Answer):
    aspect: Literal["E1", "E2", "E3", "E4", "E5", "E6", "E7"]
    score: int | None


class ProcessAnswer(_Answer):
    """`process/1`."""

    scores: list[AspectAnswer]
    execution_overview: str
    key_learnings: list[str]
    error_patterns: list[str]
    wasted_effort: list[str]
    effective_patterns: list[str]
    recommendations: list[str]
    avoidable_errors: int


class AnchorsAnswer(_Answer):
    three: str
    five: str
    seven: str
    nine: str


class CriterionAnswer(_Answer):
    id: str
    text: str
    category: Category
    probe: str
    verify_by: str
    anti_patterns: list[str]
    score_anchors: AnchorsAnswer


class CriteriaAnswer(_Answer):
    """`criteria/1`."""

    aspiration: str
    criteria: list[CriterionAnswer]


class ChangeAnswer(_Answer):
    type: Literal["sharpen", "elevate", "add", "retire_replace"]
    criterion: str
    why: str
    text: str
    category: Category
    verify_by: str
    anti_patterns: list[str]
    score_anchors: AnchorsAnswer


class EvolutionAnswer(_Answer):
    """`evolution/1`."""

    changes: list[ChangeAnswer]
    unchanged_because: str
