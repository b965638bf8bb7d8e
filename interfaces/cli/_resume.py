"""What `bessemer run` does with a run that exists: take it up, fork it, stop it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.errors import RunDiverged, RunIsOpen, UsageError
from bessemer.cluster.home import Home
from bessemer.cluster.identity import read_owner
from bessemer.cluster.ledger import Ledger, SetCap
from bessemer.cluster.money import MicroDollars
from bessemer.cluster.settings import Settings
from bessemer.interfaces._prepare import Prepared, assemble, versions
from bessemer.interfaces._session import driving
from bessemer.pipelines._base import pipeline_named
from bessemer.pipelines.refine import RefinePlan

if TYPE_CHECKING:
    from bessemer.cluster.ledger import RunRow


def prepare_resume(
    ledger: Ledger, row: RunRow, home: Home, settings: Settings, cap: MicroDollars | None, address: str
) -> Prepared:
    """A run to go on with, under the pins it was opened with.

    Raises RunDiverged where the code, personas or prices are not those of then: such a run is forked instead.
    """
    if "plan" not in row.pins:
        raise UsageError(f"the answers of run {row.run} were deleted, so it cannot be resumed; start it anew")
    if not (address or settings.cluster.address or ray_session.warm_cluster()):
        _refuse_if_held(row)
    now = versions(settings)
    changed = [name for name, value in now.items() if row.pins.get(name) != value]
    if changed:
        raise RunDiverged(
            f"run {row.run} was started under another {', '.join(changed)}; go on from its work with "
            f"`bessemer run fork {row.run}`"
        )
    caps = dict(row.caps)
    if cap is not None:
        known = next(scope for scope in ledger.scopes() if scope.scope == f"run:{row.run}")
        ledger.apply([SetCap(scope=known.scope, cap=cap, version=known.version + 1)])
        caps[known.scope] = cap
    plan = pipeline_named(row.pipeline).plan.model_validate(row.pins["plan"])
    spec = RunSpec(run=row.run, pipeline=row.pipeline, pins=row.pins, caps=caps)
    cap_now = caps.get(f"run:{row.run}")
    return Prepared(
        spec=spec, home=home, plan=plan, notices=(), budget=None if cap_now is None else MicroDollars(cap_now)
    )


def _refuse_if_held(row: RunRow) -> None:
    """A run under another terminal's private cluster cannot be taken up; one in the warm cluster can be watched."""
    owner = read_owner(row.owner)
    if row.status == "open" and owner is not None and not owner.is_dead:
        raise RunIsOpen(
            f"run {row.run} is open in process {owner.pid} on {owner.host}; wait for it, or stop it with "
            f"`bessemer run cancel {row.run}`",
            {"owner": row.owner},
        )


def prepare_fork(row: RunRow, home: Home, settings: Settings) -> Prepared:
    """A new run with the old one's plan, starting from what the old one had accepted last."""
    if row.pipeline not in ("refine", "evaluate"):
        raise UsageError(f"run {row.run} is a {row.pipeline}, which has no work to go on from; start it anew")
    directory = home.run_directory(row.run)
    try:
        pins: dict[str, Any] = json.loads((directory / "plan.json").read_text())
        outcome: dict[str, Any] = json.loads((directory / "outcome.json").read_text())
    except (OSError, ValueError):
        pins, outcome = dict(row.pins), {}
    if "plan" not in pins:
        raise UsageError(f"run {row.run} has no plan left to fork; start it anew")
    plan = pipeline_named(row.pipeline).plan.model_validate(pins["plan"])
    if isinstance(plan, RefinePlan) and outcome.get("result") and Path(outcome["result"]).is_dir():
        plan = plan.model_copy(update={"source": outcome["result"]})
    return assemble(row.pipeline, plan, settings, settings.budget.run, ())


def cancel_run(row: RunRow, home: Home, settings: Settings, address: str) -> str:
    """Stop a run wherever it goes on: in the warm cluster, or under the terminal that started it."""
    overnight = row.status == "interrupted" and row.pins.get("plan", {}).get("urgency") == "overnight"
    if row.status != "open" and not overnight:
        return f"run {row.run} is not under way: it is {row.status}"
    if address or settings.cluster.address or ray_session.warm_cluster():
        with driving(home, settings, address=address) as driver:
            if asyncio.run(driver.cancel(row.run)):
                return f"run {row.run} is stopped; resume with: bessemer run resume {row.run}"
    driver_of = _driver_of(home.run_directory(row.run))
    if driver_of is not None:
        os.kill(driver_of, signal.SIGINT)
        return f"asked the terminal that runs {row.run} (process {driver_of}) to stop"
    return f"run {row.run} is held by nobody; resume with: bessemer run resume {row.run}"


def _driver_of(directory: Path) -> int | None:
    try:
        owner = read_owner(json.loads((directory / "driver.json").read_text())["driver"])
    except (OSError, ValueError, KeyError):
        return None
    return None if owner is None or owner.is_dead or owner.pid == os.getpid() else owner.pid
