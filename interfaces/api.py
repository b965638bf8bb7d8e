"""The same from Python: `outcome = await bessemer.refine("…")`, in a script or a notebook."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bessemer.actors.run_host import RunSpec
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.money import parse_usd
from bessemer.cluster.settings import Settings, load_settings
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._prepare import Prepared, Request, prepare_evaluate, prepare_refine, remember
from bessemer.interfaces._session import driving
from bessemer.pipelines.evaluate import EvaluateOutcome
from bessemer.pipelines.refine import RefineOutcome

OnEvent = Callable[[dict[str, Any]], None]


async def refine(
    task: str,
    *,
    prior_answer: str | Path | None = None,
    criteria: str | None = None,
    criteria_file: str | Path | None = None,
    criteria_preset: str | None = None,
    probes: Sequence[str] = (),
    max_rounds: int | None = None,
    builders: int | None = None,
    candidates: int | None = None,
    build_backend: str | None = None,
    eval_backend: str | None = None,
    eval_backends: Sequence[str] = (),
    cost_budget: float | None = None,
    budget_account: str | None = None,
    time_budget: float | None = None,
    overnight: bool = False,
    settings: Settings | None = None,
    on_event: OnEvent | None = None,
) -> RefineOutcome:
    """Refine the work in the current folder, or at `prior_answer`; the user's files are not touched.

    `cost_budget` is in dollars, `time_budget` in seconds; `budget_account` names an account that pays beside it.
    Returns however the run ended, budget and deadline included; raises a BessemerError only where nothing could be
    run at all.
    Cancelling it stops the run: what was accepted is saved, and `bessemer run resume` goes on with it.
    """
    resolved = settings or load_settings()
    request = Request(
        task=task,
        prior_answer=str(prior_answer) if prior_answer is not None else None,
        criteria=criteria,
        criteria_file=str(criteria_file) if criteria_file is not None else None,
        criteria_preset=criteria_preset,
        probes=probes,
        max_rounds=max_rounds,
        builders=builders,
        candidates=candidates,
        build_backend=build_backend,
        eval_backends=(eval_backend, *eval_backends) if eval_backend else eval_backends,
        cost_budget=parse_usd(cost_budget) if cost_budget is not None else None,
        account=budget_account,
        time_budget=time_budget,
        overnight=overnight,
    )
    prepared = prepare_refine(request, resolved)
    return RefineOutcome.model_validate(await _run(prepared, resolved, on_event))


async def evaluate(
    path: str | Path,
    *,
    criteria: str | None = None,
    criteria_file: str | Path | None = None,
    criteria_preset: str | None = None,
    probes: Sequence[str] = (),
    eval_backend: str | None = None,
    eval_backends: Sequence[str] = (),
    cost_budget: float | None = None,
    budget_account: str | None = None,
    time_budget: float | None = None,
    overnight: bool = False,
    settings: Settings | None = None,
    on_event: OnEvent | None = None,
) -> EvaluateOutcome:
    """Judge the work at `path` once: verdict, critique and tasks, nothing built. Units and errors as in `refine`."""
    resolved = settings or load_settings()
    request = Request(
        prior_answer=str(path),
        criteria=criteria,
        criteria_file=str(criteria_file) if criteria_file is not None else None,
        criteria_preset=criteria_preset,
        probes=probes,
        eval_backends=(eval_backend, *eval_backends) if eval_backend else eval_backends,
        cost_budget=parse_usd(cost_budget) if cost_budget is not None else None,
        account=budget_account,
        time_budget=time_budget,
        overnight=overnight,
    )
    prepared = prepare_evaluate(request, resolved)
    return EvaluateOutcome.model_validate(await _run(prepared, resolved, on_event))


async def _run(prepared: Prepared, settings: Settings, on_event: OnEvent | None) -> dict[str, Any]:
    session = driving(prepared.home, settings)
    driver = await asyncio.to_thread(session.__enter__)
    try:
        await asyncio.to_thread(remember, prepared)
        await driver.start(prepared.spec)
        outcome = await _watch(driver, prepared.spec, on_event or (lambda event: None))
        await driver.flush()
        return outcome
    finally:
        try:
            await driver.close()
        finally:
            await asyncio.to_thread(session.__exit__, None, None, None)


async def _watch(driver: Driver, spec: RunSpec, on_event: OnEvent) -> dict[str, Any]:
    """Follow the run to its end. Being cancelled, by Ctrl-C or `run cancel` for example, stops it cleanly."""
    try:
        return await driver.watch(spec, on_event)
    except asyncio.CancelledError:
        with contextlib.suppress(BessemerError):
            await driver.cancel(spec.run)
        raise
