"""What a run may cost: from guesses, from what the lake measured, and never above its cap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.cluster.lake import Lake, Publisher
from bessemer.cluster.prices import PriceBook
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command
from bessemer.pipelines._base import Plan
from bessemer.pipelines.check import CheckPlan
from bessemer.pipelines.consensus import ConsensusPlan
from bessemer.pipelines.estimate import estimate
from bessemer.pipelines.refine import RefinePlan
from tests.lake._outbox import Outbox

PRICES = PriceBook({"scripted/*": {"input": 2, "output": 10}})
"""2 micro-dollars for an input token, 10 for an output token."""


def plan(**changes: object) -> RefinePlan:
    known = CriteriaSet(source="user", criteria=(Criterion(id="E1", text="right"),))
    return RefinePlan.model_validate(
        {"task": "t", "source": "/nowhere", "eval_backend": "scripted/j", "criteria": known, "max_rounds": 1, **changes}
    )


async def measured(folder: Path, steps: int) -> Lake:
    """A lake in which each evaluation took two calls of (number + 1) x 100 tokens in and 10 out."""
    outbox = Outbox()
    for number in range(steps):
        for index in range(2):
            row = {"run": "r", "path": f"p{number}", "index": index, "purpose": "evaluate", "backend": "scripted/j"}
            tokens = {"input_tokens": 100 * (number + 1), "output_tokens": 10, "seconds": 1.5}
            outbox.put("calls", {**row, **tokens})
    outbox.put("calls", {"run": "r", "path": "bad", "purpose": "evaluate", "backend": "scripted/j", "failure": "auth"})
    await Publisher(str(folder), "ledger", "0", outbox).publish_once()
    return Lake(str(folder))


async def test_history_is_used_where_there_is_enough_of_it(tmp_path: Path) -> None:
    few = estimate(plan(), PRICES, await measured(tmp_path / "few", 4), deliverable_bytes=4000, cap=None)
    assert [step.source for step in few.steps] == ["guess"]
    many = estimate(plan(), PRICES, await measured(tmp_path / "many", 9), deliverable_bytes=4000, cap=None)
    (step,) = many.steps
    # Median of nine steps is the fifth: two calls of 500 tokens in and 10 out; the 90th percentile is 8.2 steps up.
    assert (step.source, step.measured_steps, step.tokens) == ("history", 9, (1000, 20))
    assert step.cost == 2 * (500 * 2 + 10 * 10)
    assert step.cost_p90 == 2 * (820 * 2 + 10 * 10)
    assert step.seconds == 3.0


def test_what_may_read_and_what_may_rise_cost_more_at_most(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "none"))

    def most(one: Plan) -> int:
        return estimate(one, PRICES, lake, deliverable_bytes=0, cap=None).worst

    asked = ConsensusPlan(task="t", backends=("scripted/a", "scripted/b"), max_rounds=1)
    # Two calls and one repair each against twelve turns and as many in a repair, each 20,000 bytes longer than before.
    assert most(asked.model_copy(update={"source": "/somewhere"})) > 5 * most(asked)
    kept = plan(max_rounds=3, build_backend="scripted/b")
    assert most(plan(max_rounds=3, build_backend="scripted/b", evolve_criteria=True)) > most(kept)


def test_overnight_calls_are_reckoned_at_the_batch_price_where_there_is_one(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "none"))

    def both(backend: str) -> list[tuple[int, int]]:
        plans = (plan(eval_backend=backend, urgency=urgency) for urgency in ("now", "overnight"))
        found = [estimate(one, PriceBook(), lake, deliverable_bytes=4000, cap=None) for one in plans]
        assert [one.overnight for one in found] == [False, True]
        return [(one.cost, one.worst) for one in found]

    now, overnight = both("anthropic/claude-opus-4-6")
    assert overnight[0] * 2 in (now[0], now[0] + 1)
    # A prompt's worst case holds a cache write, which a batch may make at its usual price.
    assert overnight[1] < now[1]
    now, overnight = both("xai/grok-4.20-0309-reasoning")
    assert overnight <= now


def test_the_worst_case_bounds_and_a_cap_bounds_it(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "none"))
    free = estimate(plan(build_backend="scripted/b"), PRICES, lake, deliverable_bytes=40_000, cap=None)
    assert {step.purpose for step in free.steps} == {"build", "evaluate", "trace"}
    assert free.cost < free.cost_p90 < free.worst
    capped = estimate(plan(build_backend="scripted/b"), PRICES, lake, deliverable_bytes=40_000, cap=123)
    assert capped.worst == 123
    longer = estimate(plan(build_backend="scripted/b", max_rounds=3), PRICES, lake, deliverable_bytes=40_000, cap=None)
    assert longer.worst > 2 * free.worst
    assert "compare" in {step.purpose for step in longer.steps}


def test_without_a_model_nothing_costs_anything(tmp_path: Path) -> None:
    found = estimate(plan(eval_backend=""), PRICES, Lake(str(tmp_path)), deliverable_bytes=10, cap=None)
    assert (found.steps, found.cost, found.worst) == ((), 0, 0)


def test_a_check_is_one_call_for_each_backend(tmp_path: Path) -> None:
    backends = ("scripted/a", "scripted/b")
    found = estimate(CheckPlan(backends=backends), PRICES, Lake(str(tmp_path)), deliverable_bytes=0, cap=None)
    assert [(step.backend, step.steps, step.most_steps) for step in found.steps] == [(name, 1, 1) for name in backends]


def test_estimate_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    (tmp_path / "a.py").write_text("x = 1\n" * 500)
    flags = ["--build-backend", "claude", "--eval-backends", "probes", "--cost-budget", "3", "--json"]
    assert _frame.run(["estimate", "refine", "Make it right", *flags], command()) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["estimate"]["worst"] == record["budget_micro_usd"] == 3_000_000
    assert 0 < record["estimate"]["cost"] < record["estimate"]["cost_p90"]
    assert record["estimate"]["deliverable_bytes"] == 3000
    assert not (tmp_path / ".bessemer" / "runs").exists()
    assert _frame.run(["estimate", "doctor"], command()) == 2
