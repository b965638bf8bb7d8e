"""`bessemer run attach`: following a run that goes on without us."""

from __future__ import annotations

import json
from typing import Any

from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.errors import UsageError
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import RunRow
from bessemer.cluster.money import MicroDollars
from bessemer.cluster.settings import Settings
from bessemer.interfaces._prepare import Prepared, home_of_run
from bessemer.interfaces._session import driving
from bessemer.interfaces.cli._progress import open_view
from bessemer.interfaces.cli._watch import follow
from bessemer.pipelines.refine import RefinePlan

ENDED = ("done", "failed", "cancelled", "budget")


def prepare_attach(row: RunRow, home: Home, settings: Settings, address: str) -> Prepared:
    """What it takes to follow a run. Raises UsageError where it cannot be under way in a cluster we can join."""
    if row.pipeline not in ("refine", "evaluate") or "plan" not in row.pins:
        raise UsageError(
            f"run {row.run} cannot be followed: it is {row.pipeline}, {row.status}; see `bessemer run show`"
        )
    if not (address or settings.cluster.address or ray_session.warm_cluster()):
        raise UsageError(
            f"no warm cluster is up, so run {row.run} is under way in none; go on with `bessemer run resume {row.run}`"
        )
    cap = row.caps.get(f"run:{row.run}")
    spec = RunSpec(run=row.run, pipeline=row.pipeline, pins=row.pins, caps=row.caps)
    plan = RefinePlan.model_validate(row.pins["plan"])
    budget = None if cap is None else MicroDollars(cap)
    return Prepared(spec=spec, home=home_of_run(home, row.run), plan=plan, notices=(), budget=budget)


def ended_before(row: RunRow, home: Home) -> dict[str, Any] | None:
    """The outcome of a run that has ended already; None while it may go on."""
    if row.status not in ENDED:
        return None
    try:
        found: dict[str, Any] = json.loads((home.run_directory(row.run) / "outcome.json").read_text())
    except (OSError, ValueError):
        raise UsageError(
            f"run {row.run} is {row.status} and left no outcome; see `bessemer run show {row.run}`"
        ) from None
    return found


async def attach(prepared: Prepared, settings: Settings, address: str, *, as_json: bool) -> dict[str, Any]:
    """Follow the run to its end; Ctrl-C leaves it alone. Raises UsageError where no host of the cluster holds it."""
    run = prepared.spec.run
    view = open_view(quiet=as_json, budget=prepared.budget, deadline=prepared.plan.time_budget)
    with driving(prepared.home, settings, address=address) as driver:
        try:
            if not await driver.holds(run):
                raise UsageError(
                    f"run {run} is held by no host of this cluster; go on with `bessemer run resume {run}`"
                )
            return await follow(driver, prepared.spec, view, leave=True)
        finally:
            view.close()
