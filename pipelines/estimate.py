"""Estimate: what a run may cost and how long it may take, before a cent is spent.

A run is a number of steps of each kind. What one step takes comes from the lake where it has history (median and 90th
percentile), else from `configs/estimates.yaml`. The worst case multiplies every limit of the method; a cap bounds it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from bessemer.actors.backends.base import Usage
from bessemer.actors.judging import EvolutionPolicy
from bessemer.actors.reviewers import MAX_TOOL_TURNS
from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake import Lake
from bessemer.cluster.prices import BATCH, PriceBook
from bessemer.pipelines._base import Plan
from bessemer.pipelines.check import CheckPlan
from bessemer.pipelines.consensus import ConsensusPlan
from bessemer.pipelines.planning.draft import DraftPlan
from bessemer.pipelines.planning.execute import ExecutePlan
from bessemer.pipelines.refine import RefinePlan
from bessemer.pipelines.step import StepPlan
from bessemer.pipelines.write_criteria import WriteCriteriaPlan

INLINE_BYTES = 120_000
"""Most of a deliverable that stands in one prompt; the rest is read with tools."""
PROMPT_BYTES = 20_000
BYTES_A_TOKEN = 4
TOKENS_A_SECOND = 60.0
SECONDS_TO_START = 1.5
"""Without history: how long a model takes until it writes, and how fast it writes then."""
ENOUGH_STEPS = 5
"""Steps of a kind and backend in the lake from which their measurements are used."""
TASKS_A_ROUND, MOST_TASKS_A_ROUND = 3, 24
GUARDS_A_ROUND = 3
ROUNDS_EXPECTED = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Guess(_Frozen):
    """One row of `configs/estimates.yaml`."""

    calls: float
    input: float
    output: float
    deliverable: float
    most_calls: int
    grows_by: int


class StepEstimate(_Frozen):
    """The steps of one kind in a run. Costs are micro-dollars, times seconds."""

    purpose: str
    backend: str
    steps: float
    """Expected number."""
    most_steps: int
    source: Literal["history", "guess"]
    measured_steps: int = 0
    """Steps in the lake that the measurement rests on."""
    tokens: tuple[int, int]
    """Input and output of one step, median."""
    cost: int
    """Of all expected steps, at the median."""
    cost_p90: int
    worst: int
    """Of the most steps there can be, each at its worst case."""
    seconds: float
    """Of all expected steps, those beside each other counted once."""


class Estimate(_Frozen):
    """What a run may cost and take."""

    steps: tuple[StepEstimate, ...]
    cost: int
    cost_p90: int
    worst: int
    cap: int | None
    """The run's cap, which bounds the worst case whatever it is."""
    seconds: float
    """Of calls that are made at once; a vendor may keep an overnight call for a day."""
    overnight: bool = False
    """Whether calls wait for the vendors' batch prices; what has none is reckoned at the full price."""
    deliverable_bytes: int


class _Kind(NamedTuple):
    purpose: str
    backend: str
    steps: float
    most_steps: int
    beside: int
    """How many of them run side by side."""
    max_output: int
    reads: bool = False
    """Whether the model may read files with tools before it answers."""


class _Measured(NamedTuple):
    """One step of a kind, as the lake knows it: median and 90th percentile."""

    steps: int
    calls: float
    input: float
    output: float
    seconds: float
    input_p90: float
    output_p90: float


def estimate(
    plan: Plan,
    prices: PriceBook,
    lake: Lake,
    *,
    priced_as: Callable[[str], str] = str,
    deliverable_bytes: int,
    cap: int | None,
) -> Estimate:
    """What a run of `plan` may cost and take. `deliverable_bytes` is the size of the text that is judged.

    `priced_as` names the model at whose price a backend's calls are booked, where that is another.
    """
    history = _history(lake)
    overnight = plan.urgency == "overnight"
    tier = BATCH if overnight else ""
    steps = tuple(
        _step(kind, priced_as(kind.backend), prices, history, deliverable_bytes, tier) for kind in _kinds(plan)
    )
    worst = sum(step.worst for step in steps)
    return Estimate(
        steps=steps,
        cost=sum(step.cost for step in steps),
        cost_p90=sum(step.cost_p90 for step in steps),
        worst=worst if cap is None else min(worst, cap),
        cap=cap,
        seconds=round(sum(step.seconds for step in steps), 1),
        overnight=overnight,
        deliverable_bytes=deliverable_bytes,
    )


def _kinds(plan: Plan) -> list[_Kind]:
    if isinstance(plan, CheckPlan):
        return [_Kind("check", backend, 1, 1, len(plan.backends), plan.max_output_tokens) for backend in plan.backends]
    if isinstance(plan, ConsensusPlan):
        rounds = min(ROUNDS_EXPECTED, plan.max_rounds)
        panel, most = len(plan.backends), plan.max_output_tokens
        reads = bool(plan.source or plan.artifacts)
        return [_Kind("consensus", one, rounds, plan.max_rounds, panel, most, reads) for one in plan.backends]
    if isinstance(plan, DraftPlan):
        return [_Kind(plan.mode, plan.backend, 1, 1, 1, plan.max_output_tokens)]
    if isinstance(plan, StepPlan):
        return [_Kind("step", plan.backend, 1, 1, 1, plan.max_output_tokens, bool(plan.folder))]
    if isinstance(plan, WriteCriteriaPlan):
        return [_Kind("criteria" if plan.raises is None else "raise", plan.backend, 1, 1, 1, 8192)]
    if isinstance(plan, ExecutePlan):
        return _of_chunks(plan)
    if not isinstance(plan, RefinePlan):
        raise TypeError(f"no estimate is known for a {type(plan).__name__}")
    rounds, most_rounds = min(ROUNDS_EXPECTED, plan.max_rounds), plan.max_rounds
    kinds = []
    if plan.build_backend:
        tries = plan.candidates if not plan.works_off_findings else 1
        most = most_rounds * MOST_TASKS_A_ROUND * plan.candidates
        expected = rounds * TASKS_A_ROUND * tries
        kinds.append(_Kind("build", plan.build_backend, expected, most, plan.builders, plan.max_output_tokens))
    if plan.eval_backend:
        judging = 8192
        if plan.criteria is None:
            kinds.append(_Kind("criteria", plan.eval_backend, 1, 1, 1, judging))
        kinds += [_Kind("evaluate", one, rounds, most_rounds, len(plan.judges), judging) for one in plan.judges]
        if plan.build_backend:
            kinds.append(_Kind("trace", plan.eval_backend, rounds, most_rounds, rounds, judging))
            if plan.evolve_criteria:
                raises = min(most_rounds - 1, EvolutionPolicy().most_times)
                kinds.append(_Kind("raise", plan.eval_backend, 0, raises, 1, judging))
            guards = (most_rounds - 1) * GUARDS_A_ROUND
            kinds.append(_Kind("compare", plan.eval_backend, rounds - 1, guards, 1, judging))
    return [kind for kind in kinds if kind.most_steps]


def _of_chunks(plan: ExecutePlan) -> list[_Kind]:
    """A refinement for each chunk, at most one more for each mutation, and a re-plan for each of those."""
    chunks = len(plan.chunks)
    most = chunks * (1 + plan.max_mutations)
    kinds = [
        kind._replace(steps=kind.steps * chunks, most_steps=kind.most_steps * most)
        for kind in _kinds(plan.refinement())
    ]
    if plan.eval_backend:
        mutations = chunks * plan.max_mutations
        kinds.append(_Kind("replan", plan.eval_backend, 0, mutations, 1, plan.max_output_tokens))
    return kinds


def _step(
    kind: _Kind, priced: str, prices: PriceBook, history: Mapping[tuple[str, str], _Measured], size: int, tier: str
) -> StepEstimate:
    tier = tier if tier and prices.has_batch_price(priced) else ""
    guess = _guesses()[kind.purpose]
    known = history.get((kind.purpose, kind.backend))
    found = known if known is not None and known.steps >= ENOUGH_STEPS else _guessed(guess, size)
    one = _cost(prices, priced, tier, found.calls, found.input, found.output)
    one_p90 = _cost(prices, priced, tier, found.calls, found.input_p90, found.output_p90)
    return StepEstimate(
        purpose=kind.purpose,
        backend=kind.backend,
        steps=kind.steps,
        most_steps=kind.most_steps,
        source="history" if found is known else "guess",
        measured_steps=found.steps,
        tokens=(round(found.input), round(found.output)),
        cost=math.ceil(one * kind.steps),
        cost_p90=math.ceil(one_p90 * kind.steps),
        worst=_worst(kind, priced, tier, guess, prices, size) * kind.most_steps,
        seconds=round(found.seconds * math.ceil(kind.steps / max(kind.beside, 1)), 1),
    )


def _guessed(guess: Guess, size: int) -> _Measured:
    deliverable = min(size, INLINE_BYTES) / BYTES_A_TOKEN
    tokens_in = guess.calls * (guess.input + guess.deliverable * deliverable)
    tokens_out = guess.calls * guess.output
    seconds = guess.calls * SECONDS_TO_START + tokens_out / TOKENS_A_SECOND
    return _Measured(0, guess.calls, tokens_in, tokens_out, seconds, 2 * tokens_in, 2 * tokens_out)


def _cost(prices: PriceBook, backend: str, tier: str, calls: float, tokens_in: float, tokens_out: float) -> float:
    """Micro-dollars of one step; priced call by call, because a long prompt has another price."""
    calls = max(calls, 1.0)
    usage = Usage(input=round(tokens_in / calls), output=round(tokens_out / calls), tier=tier)
    return calls * prices.cost(backend, usage)


def _worst(kind: _Kind, priced: str, tier: str, guess: Guess, prices: PriceBook, size: int) -> int:
    """Every call of a step at the bound that the ledger reserves for it."""
    start = PROMPT_BYTES + math.ceil(max(guess.deliverable, 1.0) * min(size, INLINE_BYTES))
    calls = 2 * MAX_TOOL_TURNS if kind.reads else guess.most_calls
    return sum(
        prices.worst_case(priced, start + number * guess.grows_by, kind.max_output, tier=tier)
        for number in range(calls)
    )


@functools.cache
def _guesses() -> dict[str, Guess]:
    text = resources.files("bessemer.configs").joinpath("estimates.yaml").read_text(encoding="utf-8")
    return {name: Guess.model_validate(row) for name, row in yaml.safe_load(text).items()}


_STEPS = """
WITH steps AS (
    SELECT purpose, backend, run, path, count(*) AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output,
           sum(seconds) AS seconds
    FROM calls WHERE failure = '' AND purpose <> '' GROUP BY ALL
)
SELECT purpose, backend, count(*) AS steps, median(calls) AS calls, median(input) AS input, median(output) AS output,
       median(seconds) AS seconds, quantile_cont(input, 0.9) AS input_p90, quantile_cont(output, 0.9) AS output_p90
FROM steps GROUP BY purpose, backend
"""


def _history(lake: Lake) -> dict[tuple[str, str], _Measured]:
    """Measured steps by purpose and backend; none where the lake cannot be read, because guesses do then."""
    try:
        rows = lake.sql(_STEPS).to_pylist()
    except LakeError:
        return {}
    return {(str(row.pop("purpose")), str(row.pop("backend"))): _Measured(**row) for row in rows}
