"""The screens a person reads: a plan before a run, and what came of it after. They fit 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.money import format_usd
from bessemer.interfaces.cli._consensus_screen import consensus
from bessemer.pipelines._base import Outcome
from bessemer.pipelines.consensus import ConsensusOutcome
from bessemer.pipelines.evaluate import EvaluateOutcome
from bessemer.pipelines.refine import RefineOutcome

if TYPE_CHECKING:
    from rich.console import Console

    from bessemer.interfaces._prepare import Prepared
    from bessemer.pipelines.check import CheckOutcome
    from bessemer.pipelines.estimate import Estimate

_ESTIMATES = ("steps", "tokens each", "expected", "p90", "at most")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _table(*columns: str, numbers: tuple[str, ...] = ()) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def plan(prepared: Prepared) -> None:
    """What would run."""
    console, facts = _console(), prepared.plan.model_dump(mode="json", exclude_none=True)
    table = _table("setting", "value")
    for name, value in facts.items():
        if name != "criteria" and value not in ("", [], ()):
            table.add_row(name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
    for criterion in (facts.get("criteria") or {}).get("criteria", []):
        table.add_row(f"criterion {criterion['id']}", criterion["text"])
    table.add_row("cap", format_usd(prepared.budget) if prepared.budget is not None else "none")
    console.print(table)


def estimate(found: Estimate) -> None:
    """What a run may cost and take, step by step and in all."""
    console = _console()
    table = _table("step", "steps", "tokens each", "expected", "p90", "at most", numbers=_ESTIMATES)
    for step in found.steps:
        number = f"{step.steps:g}" if step.steps == step.most_steps else f"{step.steps:g} to {step.most_steps}"
        tokens = f"{step.tokens[0]}+{step.tokens[1]}{'' if step.source == 'history' else ' ?'}"
        costs = (format_usd(step.cost), format_usd(step.cost_p90), format_usd(step.worst))
        table.add_row(step.purpose, number, tokens, *costs)
    if found.steps:
        console.print(table)
    for backend in dict.fromkeys(step.backend for step in found.steps):
        console.print(f"{', '.join(one.purpose for one in found.steps if one.backend == backend)}: {backend}")
    if any(step.source == "guess" for step in found.steps):
        console.print("?: guessed, because the lake has too few steps of that kind and model", markup=False)
    bound = "the cap" if found.cap is not None and found.worst == found.cap else "no cap is set: --cost-budget USD"
    console.print(
        f"expected {format_usd(found.cost)} (9 of 10 under {format_usd(found.cost_p90)}), "
        f"at most {format_usd(found.worst)}{f' ({bound})' if found.worst else ''}; {_duration(found)}",
        markup=False,
    )


def _duration(found: Estimate) -> str:
    if found.overnight:
        return "at batch prices, so up to a day for each step that follows another"
    return f"about {_time(found.seconds)}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def last(outcome: Outcome) -> None:
    """The last screen of a run."""
    if isinstance(outcome, RefineOutcome):
        _refined(outcome)
    elif isinstance(outcome, EvaluateOutcome):
        _evaluated(outcome)
    elif isinstance(outcome, ConsensusOutcome):
        consensus(outcome)
    else:
        _plain(outcome)


def _plain(outcome: Outcome) -> None:
    """The last lines of a run that brought no table of its own."""
    console = _console()
    console.print(f"{outcome.ending}: {outcome.explanation}", markup=False, soft_wrap=True)
    console.print(f"cost: {format_usd(outcome.cost)}", markup=False)
    if result := getattr(outcome, "result", ""):
        console.print(f"result: {result}", markup=False, soft_wrap=True)


def checked(outcome: CheckOutcome) -> None:
    """What each backend answered to a tiny call."""
    console, table = _console(), _table("backend", "answered", "seconds", "tokens", numbers=("seconds", "tokens"))
    for one in outcome.checked:
        said = f"{one.text} ({one.model})" if one.answered else f"{one.failure}: {one.message}"
        table.add_row(one.backend, said, f"{one.seconds:.1f}", f"{one.input_tokens}+{one.output_tokens}")
    console.print(table)
    console.print(f"cost: {format_usd(outcome.cost)}", markup=False)


def _refined(outcome: RefineOutcome) -> None:
    console = _console()
    console.print()
    console.print(_before_after(outcome.before, outcome.after))
    if outcome.rounds:
        console.print(_rounds(outcome))
    console.print(f"{outcome.ending}: {outcome.explanation}", markup=False, soft_wrap=True)
    _not_verified(console, outcome.not_verified)
    cost = f"{outcome.seconds:.0f} s, {format_usd(outcome.cost)}"
    if outcome.in_doubt:
        cost += f" ({format_usd(outcome.in_doubt)} of it in doubt)"
    console.print(f"cost: {cost}", markup=False)
    if outcome.result:
        changed = len(outcome.changed_files)
        console.print(f"result: {outcome.result} ({changed} changed)", markup=False, soft_wrap=True)
        console.print(f"files:  {outcome.directory}", markup=False, soft_wrap=True)
        console.print(f"take it out: bessemer run export {outcome.run} --to PATH", markup=False, soft_wrap=True)


def _before_after(before: tuple[ProbeResult, ...], after: tuple[ProbeResult, ...]) -> Any:
    table = _table("probe", "before", "after")
    later = {probe.probe: probe for probe in after}
    for probe in before or after:
        now = later.get(probe.probe, probe)
        table.add_row(probe.probe, probe.summary if before else "-", _colored(now))
    return table


def _rounds(outcome: RefineOutcome) -> Any:
    numbers = ("round", "tasks", "seconds", "calls", "tokens", "cost")
    table = _table("round", "verdict", "measured", "tasks", "seconds", "calls", "tokens", "cost", numbers=numbers)
    for one in outcome.rounds:
        table.add_row(
            str(one.number),
            one.verdict,
            " ".join(_short(probe) for probe in one.probes),
            f"{one.tasks_accepted}/{one.tasks_tried}",
            f"{one.seconds:.0f}",
            str(one.calls),
            f"{one.input_tokens + one.output_tokens}",
            format_usd(one.cost),
        )
    return table


def _evaluated(outcome: EvaluateOutcome) -> None:
    console = _console()
    table = _table("criterion", "score", "why", numbers=("score",))
    texts = {one.id: one.text for one in outcome.criteria.criteria} if outcome.criteria else {}
    verdict = outcome.verdict
    for score in verdict.scores if verdict else ():
        note = f" [contradicts {score.contradicts}]" if score.contradicts else ""
        table.add_row(f"{score.criterion} {texts.get(score.criterion, '')}", str(score.score), score.reason + note)
    for missing in verdict.not_scored if verdict else ():
        table.add_row(
            f"{missing.criterion} {texts.get(missing.criterion, '')}", "-", f"{missing.why}: {missing.message}"
        )
    console.print(table)
    console.print(f"{outcome.ending}: {outcome.explanation}", markup=False, soft_wrap=True)
    _not_verified(console, verdict.not_verified if verdict else ())
    console.print(f"cost: {format_usd(outcome.cost)}", markup=False)
    console.print(f"files: {outcome.directory}", markup=False, soft_wrap=True)


def _not_verified(console: Console, classes: tuple[str, ...]) -> None:
    for klass in classes:
        console.print(f"not verified: no probe here can check a deliverable that is {klass}", markup=False)


def _colored(probe: ProbeResult) -> Any:
    from rich.text import Text

    style = {"passed": "green", "failed": "red"}.get(probe.status, "yellow")
    return Text(probe.summary, style=style)


def _short(probe: ProbeResult) -> str:
    if probe.total:
        return f"{probe.probe} {probe.passed}/{probe.total}"
    return f"{probe.probe} {probe.status if probe.measure is None else f'{probe.measure:g}'}"
