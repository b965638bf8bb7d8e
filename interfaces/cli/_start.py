"""From a prepared run to its last screen: what `refine`, `evaluate` and `run resume` share."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bessemer.actors._backend_service import book_of
from bessemer.actors.backends import priced_as
from bessemer.cluster.errors import BessemerError, UsageError
from bessemer.cluster.lake import Lake
from bessemer.cluster.money import MicroDollars, parse_usd
from bessemer.cluster.settings import Settings, load_settings, parse_duration
from bessemer.cluster.workspace import size_of_work
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._prepare import Prepared, remember
from bessemer.interfaces._session import driving
from bessemer.interfaces.cli import _screen
from bessemer.interfaces.cli._progress import open_view
from bessemer.interfaces.cli._watch import follow
from bessemer.pipelines._base import Plan, pipeline_named
from bessemer.pipelines.consensus import ConsensusPlan
from bessemer.pipelines.estimate import Estimate, estimate
from bessemer.pipelines.refine import RefineOutcome, RefinePlan


def settings_for(files: list[Path] | None, no_sandbox: bool, record: Path | None = None) -> Settings:
    """The settings of this folder with the command's own layers on top."""
    flags: dict[str, Any] = {"sandbox": {"disabled": True}} if no_sandbox else {}
    if record is not None:
        flags["backends"] = {"record": str(record)}
    return load_settings(flags=flags, files=files or [])


def dollars(text: str | None, flag: str) -> MicroDollars | None:
    return None if text is None else parse_usd(text, flag)


def seconds(text: str | None, flag: str) -> float | None:
    return None if text is None else parse_duration(text, flag)


def show_plan(prepared: Prepared, settings: Settings, as_json: bool) -> None:
    """Print what would run, and what it may cost and take; starts nothing."""
    found = estimate_of(prepared, settings)
    if as_json:
        plan = prepared.plan.model_dump(mode="json")
        print(
            json.dumps(
                {
                    "plan": plan,
                    "budget_micro_usd": prepared.budget,
                    "caps_micro_usd": prepared.spec.caps,
                    "estimate": found.model_dump(mode="json"),
                }
            )
        )
        return
    _screen.plan(prepared)
    _screen.estimate(found)


def estimate_of(prepared: Prepared, settings: Settings) -> Estimate:
    """What a prepared run may cost and take."""
    plan = prepared.plan
    return estimate(
        plan,
        book_of(settings.backends),
        Lake(prepared.home.lake_url, prepared.home.lake_storage),
        priced_as=lambda backend: priced_as(backend, settings.backends),
        deliverable_bytes=sum(size_of_work(source) for source in _read_by(plan)),
        cap=prepared.budget,
    )


def _read_by(plan: Plan) -> list[Path]:
    """The files and folders that a run's models are shown."""
    if isinstance(plan, RefinePlan):
        return [Path(plan.source, plan.focus)]
    if isinstance(plan, ConsensusPlan):
        return [Path(path) for path in (*plan.artifacts, plan.source) if path]
    return []


def start_detached(prepared: Prepared, settings: Settings, address: str) -> None:
    """Hand the run to the warm cluster and return."""

    async def begin(driver: Driver) -> None:
        await driver.start(prepared.spec)

    with driving(prepared.home, settings, address=address, detach=True) as driver:
        remember(prepared)
        asyncio.run(begin(driver))
    run = prepared.spec.run
    print(f"run {run} goes on in the cluster; see it with: bessemer run show {run}", file=sys.stderr)


async def run_to_end(prepared: Prepared, settings: Settings, address: str, as_json: bool) -> dict[str, Any]:
    """Start a run, watch it to its end, and wait for its rows in the lake."""
    view = open_view(quiet=as_json, budget=prepared.budget, deadline=prepared.plan.time_budget)
    with driving(prepared.home, settings, address=address) as driver:
        try:
            remember(prepared)
            await driver.start(prepared.spec)
            outcome = await follow(driver, prepared.spec, view)
        except BessemerError as error:
            view.close()
            if _begun(prepared):
                print(f"resume with: bessemer run resume {prepared.spec.run}", file=sys.stderr)
            raise error
        finally:
            view.close()
        if problem := await driver.flush():
            print(problem, file=sys.stderr)
    return outcome


def finish(outcome: dict[str, Any], prepared: Prepared, *, as_json: bool, apply: bool = False) -> int:
    """Show the last screen, write back what may be written back, and return the exit code."""
    code = show_end(outcome, prepared.spec.pipeline, as_json=as_json)
    if apply and prepared.spec.pipeline == "refine":
        apply_back(RefineOutcome.model_validate(outcome))
    return code


def show_end(outcome: dict[str, Any], pipeline: str, *, as_json: bool) -> int:
    """Show the last screen of a run; returns its exit code."""
    ended = pipeline_named(pipeline).outcome.model_validate(outcome)
    if as_json:
        print(json.dumps({"event": "done", "exit_code": ended.exit_code, **outcome}), flush=True)
    else:
        _screen.last(ended)
    if ended.status in ("interrupted", "budget"):
        print(f"resume with: bessemer run resume {ended.run}", file=sys.stderr)
    code: int = ended.exit_code
    return code


def apply_back(outcome: RefineOutcome) -> None:
    """Write the result back to where the work came from, or say how to get it out."""
    from bessemer.cluster.workspace import Repository, apply_back, read_intake

    directory = Path(outcome.directory)
    if not outcome.changed_files:
        print("nothing to apply: the result equals what was taken in", file=sys.stderr)
        return
    repository = Repository(directory / "repository")
    intake = read_intake(repository.path)
    applied = asyncio.run(
        apply_back(repository, outcome.base, outcome.commit, Path(outcome.source), intake.fingerprint)
    )
    if applied.conflicts:
        names = ", ".join(applied.conflicts[:5])
        raise UsageError(
            f"not applied: {names} changed since the run started; get the result with "
            f"`bessemer run export {outcome.run} --to PATH` (or --branch NAME, --patch FILE)"
        )
    print(f"applied {len(outcome.changed_files)} files to {outcome.source}", file=sys.stderr)


def _begun(prepared: Prepared) -> bool:
    return (prepared.home.run_directory(prepared.spec.run) / "events.jsonl").exists()
