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
from bessemer.cluster.errors import RunDiverged, RunIsOpen, UsageError, WorkspaceError
from bessemer.cluster.home import Home
from bessemer.cluster.identity import read_owner
from bessemer.cluster.ledger import Ledger, SetCap
from bessemer.cluster.money import MicroDollars
from bessemer.cluster.settings import Settings
from bessemer.cluster.workspace import Repository
from bessemer.interfaces._driver import Driver
from bessemer.interfaces._prepare import Prepared, assemble, home_of_run, versions
from bessemer.interfaces._session import driving
from bessemer.interfaces.cli._frame import say
from bessemer.pipelines._base import pipeline_named
from bessemer.pipelines.refine import RefinePlan, last_accepted

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
    """A new run with the old one's plan, starting from what the old one had accepted last; says which work that is.

    Raises WorkspaceError where the old run's repository is gone.
    """
    if row.pipeline not in ("refine", "evaluate"):
        raise UsageError(f"run {row.run} is a {row.pipeline}, which has no work to go on from; start it anew")
    directory = home.run_directory(row.run)
    # The ledger forgets what was pruned; the run's folder does not.
    pins = row.pins if "plan" in row.pins else _read(directory / "plan.json")
    if "plan" not in pins:
        raise UsageError(f"run {row.run} has no plan left to fork; start it anew")
    plan = RefinePlan.model_validate(pins["plan"])
    if commit := _accepted_by(row.run, home):
        plan = plan.model_copy(update={"source": str(asyncio.run(_export_accepted(directory, row.run, commit)))})
        begin = f"starting from the work that run {row.run} accepted last ({commit[:12]})"
    else:
        begin = f"run {row.run} has no accepted work: starting from the original work in {plan.source}"
    prepared = assemble(row.pipeline, plan, settings, settings.budget.run, (begin,))
    for notice in prepared.notices:
        say(notice)
    return prepared


def _accepted_by(run: str, home: Home) -> str:
    """The commit that a run accepted last; empty where it accepted none.

    The journal comes first: an outcome may be of an earlier time, where a run was resumed and then killed.
    """
    with Ledger.open(home.ledger_url) as ledger:
        journalled = last_accepted(ledger, run)
    outcome = _read(home.run_directory(run) / "outcome.json")
    return journalled or str(outcome.get("commit", "") if outcome.get("changed_files") else "")


async def _export_accepted(directory: Path, run: str, commit: str) -> Path:
    """Write accepted work to where the end of its run would have left it."""
    repository = directory / "repository"
    if not await asyncio.to_thread(repository.is_dir):
        raise WorkspaceError(
            f"run {run} accepted {commit[:12]}, but its repository {str(repository)!r} is gone; start it anew"
        )
    await Repository(repository).export_tree(commit, directory / "result", replace=True)
    return directory / "result"


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def cancel_run(row: RunRow, home: Home, settings: Settings, address: str) -> str:
    """Stop a run wherever it goes on: in the warm cluster, or under the process that started it."""
    overnight = row.status == "interrupted" and row.pins.get("plan", {}).get("urgency") == "overnight"
    if row.status != "open" and not overnight:
        return f"run {row.run} is not under way: it is {row.status}"
    if address or settings.cluster.address or ray_session.warm_cluster():
        then = home_of_run(home, row.run)
        if (then != home and _cancelled(row.run, then, settings, address, only_held=True)) or _cancelled(
            row.run, home, settings, address, only_held=False
        ):
            return f"run {row.run} is stopped; resume with: bessemer run resume {row.run}"
    driver_of = _driver_of(home.run_directory(row.run))
    if driver_of is not None:
        os.kill(driver_of, signal.SIGINT)
        return f"asked process {driver_of}, which runs {row.run}, to stop"
    return f"run {row.run} is held by nobody; resume with: bessemer run resume {row.run}"


def _cancelled(run: str, home: Home, settings: Settings, address: str, *, only_held: bool) -> bool:
    """Whether a host of the home stopped the run. One that waits for batches, and that none remembers, any may stop."""

    async def cancel(driver: Driver) -> bool:
        return (not only_held or await driver.holds(run)) and await driver.cancel(run)

    with driving(home, settings, address=address) as driver:
        return asyncio.run(cancel(driver))


def _driver_of(directory: Path) -> int | None:
    owner = read_owner(str(_read(directory / "driver.json").get("driver", "")))
    return None if owner is None or owner.is_dead or owner.pid == os.getpid() else owner.pid
