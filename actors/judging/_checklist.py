"""The checklist gate: scores of answers by criterion go in, whether the best of them is good enough comes out.

| | policy `default` | policy `massgen` |
|---|---|---|
| scale | 1 to 10 | 0 to 10 |
| own answer | its author's scores do not count | they count |
| an answer's score | the harshest judge's | the same |
| best answer | most must criteria met, then sum, then content hash | highest sum, then first label |
| good enough | as every verdict: must hard, should and could together | `required` criteria at the cutoff |
| cutoff | 7 | falls as answers are left unused |

Scores outside the scale, of the wrong type, missing or unknown are refused; none is ever read as a low score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.judging._scoring import CUTOFF
from bessemer.actors.judging._verdict import verdict_from_scores
from bessemer.actors.judging.types import CriteriaSet, CriterionScore

SHORT_REPORT = 100
"""Characters that a diagnostic report has at least."""
SHORT_MEDIA_REPORT = 300
"""The same where images, sound or film are judged."""
MOST_PATIENT = 10

ErrorCode = Literal[
    "scores_type_invalid",
    "scores_out_of_range",
    "unknown_criteria",
    "unknown_agents",
    "flat_scores_disallowed",
    "missing_agent_scores",
    "incomplete_agent_criteria",
    "missing_criteria_scores",
    "diagnostic_report_invalid",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChecklistPolicy(_Frozen):
    """How the gate decides."""

    rule: Literal["default", "massgen"] = "default"
    cutoff: int = CUTOFF
    """The lowest score that meets a criterion; `massgen` computes its own."""
    threshold: Annotated[int, Field(ge=0, le=10)] = 5
    """Of `massgen`: 0 is the strictest."""
    total_answers: Annotated[int, Field(ge=1)] = 5
    """Answers an agent may give in all."""
    require_report: bool = True
    media: bool = False
    """Whether images, sound or film are judged: then the report has to say more."""

    @property
    def lowest(self) -> int:
        return 0 if self.rule == "massgen" else 1


class Knobs(NamedTuple):
    """What `massgen` asks for: how many criteria at which score."""

    effective_threshold: int
    cutoff: int
    required: int


def massgen_knobs(threshold: int, remaining: int, total: int, criteria: int) -> Knobs:
    """The gate after `total - remaining` answers: strict while most are left, patient when they run out."""
    effective = threshold
    if remaining <= 2:
        effective += 2
    elif remaining / total <= 0.4:
        effective += 1
    if remaining / total >= 0.7:
        effective -= 1
    effective = min(max(effective, 0), MOST_PATIENT)
    floor = max(1, (criteria + 1) // 2)
    required = max(floor, criteria - round((criteria - floor) * effective / MOST_PATIENT))
    return Knobs(effective, max(4, int(10 - 0.5 * effective)), required)


class AgentScore(_Frozen):
    """One judge's score of one answer on one criterion."""

    score: int
    reasoning: str = ""
    evidence: str = ""


class Ballot(_Frozen):
    """One judge's scores: by answer, then by criterion."""

    judge: str
    scores: dict[str, dict[str, AgentScore]]
    report: str = ""
    """The diagnosis that the scores rest on."""


class Refused(_Frozen):
    """Scores that cannot be used, and what to send instead. They count as not sent."""

    status: Literal["validation_error"] = "validation_error"
    error_code: ErrorCode
    explanation: str
    incomplete_scores: tuple[str, ...] = ()
    requires_resubmission: Literal[True] = True


def read_ballot(
    raw: Any,
    criteria: CriteriaSet,
    labels: Sequence[str],
    policy: ChecklistPolicy,
    *,
    judge: str = "",
    own: str = "",
    report: str = "",
) -> Ballot | Refused:
    """Read scores as `{criterion: score}` for one answer or `{answer: {criterion: score}}` for several.

    A score is a whole number or an object with `score`, `reasoning` and `evidence`. Which form it is follows from the
    ids, not from how they begin. Under `default` a judge leaves out its `own` answer, or its scores are dropped.
    """
    if not isinstance(raw, dict) or not raw:
        return _refused("scores_type_invalid", "the scores are not an object of scores by criterion")
    ids = list(criteria.by_id())
    wanted = [label for label in labels if policy.rule == "massgen" or label != own]
    nested = any(isinstance(value, dict) and "score" not in value for value in raw.values())
    if not nested:
        if len(labels) > 1:
            return _refused("flat_scores_disallowed", f"there are {len(labels)} answers; score each by its label")
        raw = {labels[0] if labels else judge: raw}
        wanted = list(raw)
    if unknown := sorted(set(raw) - set(labels) - set(wanted)):
        return _refused("unknown_agents", f"there is no answer {', '.join(unknown)}", unknown)
    if missing := [label for label in wanted if label not in raw]:
        return _refused("missing_agent_scores", f"scores of {', '.join(missing)} are missing", missing)
    scores: dict[str, dict[str, AgentScore]] = {}
    for label in wanted:
        read = _answer(raw[label], label, ids, policy, nested)
        if isinstance(read, Refused):
            return read
        scores[label] = read
    if problem := report_problem(report, policy):
        return _refused("diagnostic_report_invalid", problem)
    return Ballot(judge=judge, scores=scores, report=report)


def report_problem(report: str, policy: ChecklistPolicy) -> str:
    """Why a diagnostic report does not do; empty where it does."""
    shortest = SHORT_MEDIA_REPORT if policy.media else SHORT_REPORT
    length = len(" ".join(report.split()))
    if not policy.require_report or length >= shortest:
        return ""
    return f"the diagnostic report has {length} characters; say in at least {shortest} what is weak, where and why"


def _answer(
    raw: Any, label: str, ids: Sequence[str], policy: ChecklistPolicy, nested: bool
) -> dict[str, AgentScore] | Refused:
    if not isinstance(raw, dict):
        return _refused("scores_type_invalid", f"the scores of {label} are not an object", [label])
    if unknown := sorted(set(raw) - set(ids)):
        return _refused("unknown_criteria", f"{label}: there is no criterion {', '.join(unknown)}", unknown)
    if missing := [one for one in ids if one not in raw]:
        code: ErrorCode = "incomplete_agent_criteria" if nested else "missing_criteria_scores"
        return _refused(code, f"{label} has no score for {', '.join(missing)}", missing)
    read: dict[str, AgentScore] = {}
    for one in ids:
        given = raw[one] if isinstance(raw[one], dict) else {"score": raw[one]}
        score, where = given.get("score"), f"{label}.{one}"
        if isinstance(score, float) and score.is_integer():
            score = int(score)
        if isinstance(score, bool) or not isinstance(score, int):
            return _refused("scores_type_invalid", f"{where} is {score!r}; give a whole number", [where])
        if not policy.lowest <= score <= 10:
            said = f"{where} is {score}; give {policy.lowest} to 10"
            return _refused("scores_out_of_range", said, [where])
        words = {key: str(given.get(key) or "") for key in ("reasoning", "evidence")}
        read[one] = AgentScore(score=score, **words)
    return read


def _refused(code: ErrorCode, explanation: str, incomplete: Sequence[str] = ()) -> Refused:
    return Refused(error_code=code, explanation=explanation, incomplete_scores=tuple(incomplete))


class Item(_Frozen):
    id: str
    score: int | None
    """None where nobody scored it who may."""
    passed: bool
    reasoning: str = ""


class Stuck(_Frozen):
    """A criterion that two rounds have not moved."""

    id: str
    text: str
    category: str
    score_history: tuple[int, ...]
    current_score: int


class ChecklistVerdict(_Frozen):
    """What the gate says of the best answer."""

    status: Literal["accepted"] = "accepted"
    verdict: Literal["converged", "iterate", "not_judged"]
    action: Literal["vote", "new_answer"]
    """What an agent of a session does next: `vote` for the best answer, or give a new one."""
    explanation: str
    true_count: int
    """Criteria of the best answer at the cutoff."""
    required: int
    cutoff: int
    best_agent: str = ""
    items: tuple[Item, ...] = ()
    failed_criteria: tuple[str, ...] = ()
    plateaued_criteria: tuple[Stuck, ...] = ()
    per_agent_scores: dict[str, dict[str, int]] = Field(default_factory=dict)

    @property
    def scores(self) -> dict[str, int]:
        return {item.id: item.score for item in self.items if item.score is not None}


def decide(
    criteria: CriteriaSet,
    ballots: Sequence[Ballot],
    policy: ChecklistPolicy,
    *,
    authors: Mapping[str, str] | None = None,
    hashes: Mapping[str, str] | None = None,
    remaining: int | None = None,
    history: Sequence[Mapping[str, int]] = (),
) -> ChecklistVerdict:
    """The gate's verdict on all ballots.

    `authors` maps an answer's label to its judge's name, `hashes` to its content hash; `remaining` is how many answers
    are left, `history` the scores of earlier rounds, oldest first. Without any answer it is always `iterate`.
    """
    table = _table(ballots, authors or {}, policy)
    if policy.rule == "massgen":
        found = _massgen(criteria, table, policy, remaining if remaining is not None else policy.total_answers)
    else:
        found = _default(criteria, table, policy, hashes or {})
    return found.model_copy(update={"plateaued_criteria": stuck(criteria, history, found.scores)})


def stuck(criteria: CriteriaSet, history: Sequence[Mapping[str, int]], current: Mapping[str, int]) -> tuple[Stuck, ...]:
    """Criteria whose score is at most one above each of the last two rounds."""
    if len(history) < 2:
        return ()
    last = history[-2:]
    return tuple(
        Stuck(
            id=one.id,
            text=one.text,
            category=one.category,
            score_history=tuple(past[one.id] for past in last),
            current_score=current[one.id],
        )
        for one in criteria.criteria
        if one.id in current and all(one.id in past and current[one.id] <= past[one.id] + 1 for past in last)
    )


_Table = dict[str, dict[str, AgentScore]]


def _table(ballots: Sequence[Ballot], authors: Mapping[str, str], policy: ChecklistPolicy) -> _Table:
    """The harshest score of each answer on each criterion, an author's own left out where the policy says so."""
    table: _Table = {}
    for ballot in sorted(ballots, key=lambda one: one.judge):
        for label, scores in ballot.scores.items():
            mine = table.setdefault(label, {})
            if policy.rule == "default" and ballot.judge and authors.get(label) == ballot.judge:
                continue
            for criterion, score in scores.items():
                if criterion not in mine or score.score < mine[criterion].score:
                    mine[criterion] = score
    return table


def _massgen(criteria: CriteriaSet, table: _Table, policy: ChecklistPolicy, remaining: int) -> ChecklistVerdict:
    knobs = massgen_knobs(policy.threshold, remaining, policy.total_answers, len(criteria.criteria))
    best = min(table, key=lambda label: (-_sum(table[label]), label), default="")
    items = _items(criteria, table.get(best, {}), knobs.cutoff)
    count = sum(item.passed for item in items)
    good = bool(table) and count >= knobs.required
    return ChecklistVerdict(
        verdict="converged" if good else "iterate",
        action="vote" if good else "new_answer",
        explanation=(
            f"{count} of {len(items)} criteria are at {knobs.cutoff} or more, {knobs.required} are required"
            if table
            else "there is no answer yet"
        ),
        true_count=count,
        required=knobs.required,
        cutoff=knobs.cutoff,
        best_agent=best,
        items=items,
        failed_criteria=tuple(item.id for item in items if not item.passed),
        per_agent_scores=_plain(table),
    )


def _default(
    criteria: CriteriaSet, table: _Table, policy: ChecklistPolicy, hashes: Mapping[str, str]
) -> ChecklistVerdict:
    musts = [one.id for one in criteria.criteria if one.category == "must"]

    def merit(label: str) -> tuple[int, int, str]:
        scores = table[label]
        met = sum(one in scores and scores[one].score >= policy.cutoff for one in musts)
        return -met, -_sum(scores), hashes.get(label, label)

    best = min(table, key=merit, default="")
    given = [
        CriterionScore(criterion=one, score=score.score, reason=score.reasoning, evidence=score.evidence)
        for one, score in table.get(best, {}).items()
    ]
    found = verdict_from_scores(criteria, given, (), policy.cutoff, judge="checklist")
    word: Literal["converged", "iterate", "not_judged"] = found.verdict if table else "iterate"
    items = _items(criteria, table.get(best, {}), policy.cutoff)
    return ChecklistVerdict(
        verdict=word,
        action="vote" if word == "converged" else "new_answer",
        explanation=found.explanation if table else "there is no answer yet",
        true_count=sum(item.passed for item in items),
        required=len(musts),
        cutoff=policy.cutoff,
        best_agent=best,
        items=items,
        failed_criteria=tuple(item.id for item in items if item.score is not None and not item.passed),
        per_agent_scores=_plain(table),
    )


def _items(criteria: CriteriaSet, scores: Mapping[str, AgentScore], cutoff: int) -> tuple[Item, ...]:
    return tuple(
        Item(
            id=one.id,
            score=score.score if (score := scores.get(one.id)) else None,
            passed=score is not None and score.score >= cutoff,
            reasoning=score.reasoning if score else "",
        )
        for one in criteria.criteria
    )


def _sum(scores: Mapping[str, AgentScore]) -> int:
    return sum(score.score for score in scores.values())


def _plain(table: _Table) -> dict[str, dict[str, int]]:
    return {label: {one: score.score for one, score in scores.items()} for label, scores in table.items()}
