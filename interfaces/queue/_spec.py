"""From a claimed task to the run that carries it out."""

from __future__ import annotations

from pydantic import ValidationError

from bessemer.actors.run_host import RunSpec
from bessemer.cluster.errors import UsageError
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import ClaimedTask
from bessemer.cluster.money import MicroDollars
from bessemer.cluster.settings import Settings
from bessemer.interfaces._budget import caps_of
from bessemer.interfaces._home import home_of
from bessemer.interfaces._prepare import refuse_unmetered, usable, versions
from bessemer.pipelines.refine import RefinePlan


def home_for(task: ClaimedTask, settings: Settings, home: Home) -> Home:
    """The home whose hosts carry a task out: that of the queue, or where it is recorded one whose hosts write it down.

    Raises StateUnwritable where the recording's folder takes no files any more.
    """
    folder = task.spec.get("record", "")
    if not folder:
        return home
    backends = settings.backends.model_copy(update={"record": folder})
    return home_of(settings.model_copy(update={"backends": backends}))


def spec_of(task: ClaimedTask, queue: str, settings: Settings, home: Home, cap: int | None) -> RunSpec:
    """The run of a task; `cap` is the queue's in micro-dollars.

    Raises what a start by hand would raise: MissingKey, UnknownBackend, UnpricedModel. And UsageError where another
    version of Bessemer wrote the plan.
    """
    try:
        plan = RefinePlan.model_validate(task.spec["plan"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"the plan of task {task.task} is another version's ({name}: {first['msg']}); add it anew with --again"
        ) from None
    for name in plan.models():
        usable(name, settings, [])
    budget = task.spec["budget"]
    bound = budget if budget is not None else cap
    refuse_unmetered(plan.models(), settings, None if bound is None else MicroDollars(bound))
    caps = caps_of(task.run, budget, settings.budget, task.spec["account"], queue)
    pins = {"plan": plan.model_dump(mode="json"), **versions(settings)}
    return RunSpec(run=task.run, pipeline=task.spec["pipeline"], pins=pins, caps=caps)
