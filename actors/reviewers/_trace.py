"""How the work was done: counted from the builders' traces, and read by a model where one may."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from bessemer.actors.builders.base import BuildResult, Journal
from bessemer.actors.judging.types import ProcessVerdict
from bessemer.actors.reviewers._answers import ProcessAnswer
from bessemer.actors.reviewers._dispatch import Dispatch, dispatched, measured
from bessemer.actors.reviewers._material import Fence, Material, headed
from bessemer.actors.reviewers._persona import PROBES, Persona
from bessemer.actors.reviewers._review import Prompt, ReviewSettings, review

TRACE_BYTES = 160_000
"""How much of the traces a model is shown: the newest part of each builder's share."""

_ASK = "Analyze the traces above. Scores are whole numbers from 1 to 10, or null; give each aspect at most once."


class ProcessReport(BaseModel):
    """What looking at the work's course brought."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: ProcessVerdict
    report_md: str
    """Text of `process_report.md`."""
    dispatch: Dispatch


class Counts(NamedTuple):
    """What can be counted in the builders' traces."""

    candidates: int
    changed: int
    failed: int
    calls: int
    errors: int
    repeated: int
    """Errors of a tool that had failed before in the same build: those something earlier could have prevented."""
    seconds: float
    wasted: float
    """Seconds in builds whose change was not taken or that changed nothing."""
    by_tool: Counter[str]
    """Errors by tool."""
    unmeasured: int
    """Changes handed in without a measurement."""


def count(builds: Sequence[BuildResult], accepted: int) -> Counts:
    """Add the traces up. `accepted` is the number of changes that were kept."""
    changed = [build for build in builds if build.status == "changed"]
    spent = [sum(_seconds(entry) for entry in build.trace) for build in builds]
    kept = sorted((s for build, s in zip(builds, spent, strict=True) if build.status == "changed"), reverse=True)
    by_tool = Counter(str(entry.get("name", "?")) for build in builds for entry in build.trace if _went_wrong(entry))
    return Counts(
        candidates=len(builds),
        changed=len(changed),
        failed=sum(build.status == "failed" for build in builds),
        calls=sum(build.tool_calls for build in builds),
        errors=sum(build.tool_errors for build in builds),
        repeated=sum(_repeated(build) for build in builds),
        seconds=sum(spent),
        wasted=max(0.0, sum(spent) - sum(kept[:accepted])),
        by_tool=by_tool,
        unmeasured=sum(not build.probes for build in changed),
    )


def analyze_by_counts(builds: Sequence[BuildResult], *, tried: int, accepted: int) -> ProcessReport:
    """The analysis where no model may judge. `tried` tasks, `accepted` changes. Aspects it cannot see have no score."""
    counts = count(builds, accepted)
    learnings = _learnings(counts, tried, accepted)
    verdict = ProcessVerdict(
        scores=_scores(counts, tried, accepted),
        key_learnings=tuple(learnings),
        effective_patterns=tuple(_patterns(counts, tried, accepted)),
        total_tool_calls=counts.calls,
        total_errors=counts.errors,
        avoidable_errors=counts.repeated,
    )
    persona = PROBES.model_copy(update={"stage": "trace"})
    return ProcessReport(
        verdict=verdict, report_md=_report(verdict, _overview(counts, tried, accepted), {}), dispatch=measured(persona)
    )


async def analyze_trace(
    builds: Sequence[BuildResult],
    *,
    tried: int,
    accepted: int,
    token: str,
    persona: Persona,
    journal: Journal,
    settings: ReviewSettings,
) -> ProcessReport:
    """Have a model read the traces. Totals are always counted by code; without an answer the counts speak alone."""
    counted = analyze_by_counts(builds, tried=tried, accepted=accepted)
    texts = [trace_text(n, build) for n, build in enumerate(builds, start=1)]
    fence = Fence(token, texts)
    share = TRACE_BYTES // max(1, len(texts))
    shown = "\n\n".join(fence.around("trace", text[-share:], builder=n) for n, text in enumerate(texts, start=1))
    counts = count(builds, accepted)
    sections = {"Execution traces": shown or "(no builder ran)", "Counted": _overview(counts, tried, accepted)}
    material = Material(headed(sections), {}, fence, ())
    answered = await review(persona, Prompt(material, _ASK), ProcessAnswer, journal, settings, _problems)
    dispatch = dispatched(persona, settings.backend, answered)
    if answered.answer is None:
        return counted.model_copy(update={"dispatch": dispatch})
    answer = answered.answer
    scores = {one.aspect: one.score for one in answer.scores if one.score is not None and 1 <= one.score <= 10}
    verdict = counted.verdict.model_copy(
        update={
            "scores": scores,
            "key_learnings": tuple(answer.key_learnings[:7]),
            "effective_patterns": tuple(answer.effective_patterns),
            "avoidable_errors": min(max(0, answer.avoidable_errors), counts.errors),
        }
    )
    details = {
        "Error Patterns": answer.error_patterns,
        "Wasted Effort": answer.wasted_effort,
        "Recommendations for Next Round": answer.recommendations,
    }
    return ProcessReport(
        verdict=verdict, report_md=_report(verdict, answer.execution_overview, details), dispatch=dispatch
    )


def trace_text(number: int, build: BuildResult) -> str:
    """One builder's trace as lines: kind, name, seconds, whether it went well, and a note."""
    lines = [f"builder {number}: {build.status}, {build.tool_calls} tool calls, {build.tool_errors} errors"]
    for n, entry in enumerate(build.trace, start=1):
        word = "error" if _went_wrong(entry) else "ok"
        note = json.dumps(str(entry.get("note", ""))[:2000], ensure_ascii=False)
        lines.append(f"{n}. {entry.get('kind', '')} {entry.get('name', '')} {_seconds(entry):.2f} s {word} {note}")
    return "\n".join([*lines, f"failure: {build.failure.message}"] if build.failure else lines)


def _problems(answer: ProcessAnswer) -> list[str]:
    wrong = [f"scores: {one.aspect} is {one.score}, not 1 to 10 or null" for one in answer.scores if not _in_range(one)]
    twice = [key for key, n in Counter(one.aspect for one in answer.scores).items() if n > 1]
    return wrong + [f"scores: {key} is given twice" for key in twice]


def _in_range(one: Any) -> bool:
    return one.score is None or 1 <= one.score <= 10


def _seconds(entry: dict[str, Any]) -> float:
    value = entry.get("seconds", 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _went_wrong(entry: dict[str, Any]) -> bool:
    return entry.get("ok") is False


def _repeated(build: BuildResult) -> int:
    failures = Counter(str(entry.get("name", "?")) for entry in build.trace if _went_wrong(entry))
    return sum(n - 1 for n in failures.values())


def _share_score(share: float) -> int:
    """1 to 10 of a share between 0 and 1."""
    return 1 + round(9 * min(1.0, max(0.0, share)))


def _scores(counts: Counts, tried: int, accepted: int) -> dict[str, int]:
    scores: dict[str, int] = {}
    if counts.candidates:
        scores["E1"] = _share_score(1 - counts.repeated / counts.errors) if counts.errors else 10
    if counts.seconds > 0:
        scores["E2"] = _share_score(1 - counts.wasted / counts.seconds)
    if tried:
        scores["E3"] = _share_score(accepted / tried)
    if counts.calls:
        scores["E4"] = _share_score(1 - counts.errors / counts.calls)
    if counts.changed:
        scores["E7"] = _share_score(1 - counts.unmeasured / counts.changed)
    return scores


def _learnings(counts: Counts, tried: int, accepted: int) -> list[str]:
    found = [
        f"the tool {tool} failed {n} times; read what it answers before calling it again"
        for tool, n in counts.by_tool.most_common(3)
        if n > 1
    ]
    if counts.unmeasured:
        found.append(f"{counts.unmeasured} changes were handed in unmeasured; run the probes before handing in")
    if counts.failed:
        found.append(f"{counts.failed} of {counts.candidates} builders failed before they handed anything in")
    if tried and accepted * 4 < tried:
        found.append("fewer than one try in four was kept; take smaller steps, one finding at a time")
    return found


def _patterns(counts: Counts, tried: int, accepted: int) -> list[str]:
    found = []
    if counts.changed and not counts.unmeasured:
        found.append("every change was measured before it was handed in")
    if tried and accepted == tried:
        found.append("every task that was tried brought a change that was kept")
    return found


def _overview(counts: Counts, tried: int, accepted: int) -> str:
    per = f"{counts.candidates / accepted:.1f} tries per kept change" if accepted else "no change was kept"
    return (
        f"{counts.candidates} candidates at {tried} tasks, {counts.changed} with a change, {accepted} kept ({per}). "
        f"{counts.calls} tool calls, {counts.errors} errors, {counts.repeated} of them repeated. "
        f"{counts.seconds:.0f} s of building, {counts.wasted:.0f} s of it without a kept change."
    )


def _report(verdict: ProcessVerdict, overview: str, details: dict[str, list[str]]) -> str:
    lists = {
        "Key Learnings": list(verdict.key_learnings),
        "Error Patterns": details.get("Error Patterns", []),
        "Wasted Effort": details.get("Wasted Effort", []),
        "Effective Patterns": list(verdict.effective_patterns),
        "Recommendations for Next Round": details.get("Recommendations for Next Round", []),
    }
    sections = {title: "\n".join(f"- {line}" for line in lines) or "- None" for title, lines in lists.items()}
    return headed({"Execution Overview": overview, **sections}) + "\n"
