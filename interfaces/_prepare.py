"""From what a user asked to a run that can be started: defaults filled in, and what can fail checked first."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bessemer import __version__
from bessemer.actors._backend_service import book_of
from bessemer.actors.backends import (
    Capabilities,
    capabilities,
    check_keys,
    check_place,
    key_variables,
    priced_as,
    resolve_name,
    short_names,
    substitute,
)
from bessemer.actors.batch import has_batches
from bessemer.actors.judging import choose_criteria
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.reviewers import persona_hashes
from bessemer.actors.run_host import RunSpec
from bessemer.cluster.errors import UnpricedModel, UsageError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.home import Home, code_hash
from bessemer.cluster.identity import this_process
from bessemer.cluster.money import MicroDollars
from bessemer.cluster.run import Urgency
from bessemer.cluster.sandbox import find_door
from bessemer.cluster.settings import Settings
from bessemer.cluster.telemetry import settled, why_off
from bessemer.interfaces._budget import caps_of, check_caps
from bessemer.interfaces._home import home_of
from bessemer.interfaces._panels import authenticated, refuse_twice, through_massgen
from bessemer.interfaces._work import check_source, choose_probes, find_python, find_source
from bessemer.pipelines._base import Plan
from bessemer.pipelines.check import CheckPlan
from bessemer.pipelines.refine import RefinePlan

EMBEDDED = "embedded/qwen2.5-coder-1.5b"
VENDOR_DEFAULTS = (
    "anthropic/claude-opus-4-6",
    "openai/gpt-5.4",
    "google/gemini-3.1-pro-preview",
    "xai/grok-4.20-0309-reasoning",
)
"""What is used where a key is all a user gave."""
EMBEDDED_CANDIDATES = 4
"""A small model needs several tries where a capable one needs one."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asked for; None or empty leaves it to the settings."""

    task: str = ""
    prior_answer: str | None = None
    criteria: str | None = None
    criteria_file: str | None = None
    criteria_preset: str | None = None
    probes: Sequence[str] = ()
    max_rounds: int | None = None
    builders: int | None = None
    candidates: int | None = None
    build_backend: str | None = None
    eval_backends: Sequence[str] = ()
    cost_budget: MicroDollars | None = None
    account: str | None = None
    """Name of the account that pays, beside the run's own budget."""
    time_budget: float | None = None
    overnight: bool = False
    massgen: bool = False
    """Whether several judges are handed to an installed MassGen."""
    priority: float = 1.0
    """Weight against other runs where several wait for one model."""
    evolve_criteria: bool | None = None
    confirm_criteria: bool = False
    confirm_each_round: bool = False
    python: str | None = None
    cwd: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run ready to start, and what to tell the user about how it was resolved."""

    spec: RunSpec
    home: Home
    plan: Plan
    notices: tuple[str, ...]
    budget: MicroDollars | None


def prepare_refine(request: Request, settings: Settings) -> Prepared:
    """Resolve a refinement. Everything a user can get wrong is refused here, before Ray starts or money is spent."""
    notices: list[str] = []
    plan = plan_refine(request, settings, notices)
    # Work that is named must be there; without a name a task may begin from nothing.
    begun = check_source(Path(plan.source), settings, empty_ok=request.prior_answer is None)
    if not (begun or plan.eval_backend or plan.probes):
        raise UsageError(
            f"{plan.source!r} is empty, so there is nothing to measure yet, and no model judges; "
            "give --probe 'pytest -q', or --eval-backends provider/model"
        )
    budget = request.cost_budget or settings.budget.run
    return assemble("refine", plan, settings, budget, notices, account=request.account)


def plan_refine(request: Request, settings: Settings, notices: list[str]) -> RefinePlan:
    """The plan of a refinement, every default filled in; what was chosen for the user goes to `notices`.

    The work itself is not looked at: what waits in a queue may not be there yet.
    """
    if not request.task.strip():
        raise UsageError('the task is empty; say what is wanted: bessemer refine "TASK"')
    source, focus = find_source(request.prior_answer, request.cwd)
    build = choose_build_backend(request, settings, notices)
    judges = choose_eval_backends(request, settings, build, notices)
    probes = choose_probes(request.probes, settings)
    able = capabilities(build, settings.backends)
    return RefinePlan(
        task=request.task,
        source=str(source),
        focus=focus,
        criteria=user_criteria(request),
        probes=probes,
        probe_timeout=settings.refine.probe_timeout,
        interpreter=find_python(request.python, source),
        build_backend=build,
        eval_backend=judges[0] if judges else "",
        more_judges=judges[1:],
        max_rounds=request.max_rounds or settings.refine.max_rounds,
        builders=request.builders or settings.refine.builders,
        candidates=request.candidates or settings.refine.candidates or default_candidates(able),
        time_budget=request.time_budget or settings.refine.time_budget,
        evolve_criteria=_may_evolve(request, settings, judges),
        confirm_criteria=request.confirm_criteria,
        confirm_each_round=request.confirm_each_round,
        works_off_findings=not able.tools,
        max_file_bytes=settings.refine.max_file_bytes,
        urgency=choose_urgency(request, settings, (build, *judges), notices),
        priority=request.priority,
    )


def _may_evolve(request: Request, settings: Settings, judges: Sequence[str]) -> bool:
    """Whether met criteria are raised. Raises UsageError where that was asked for and only probes judge."""
    if request.evolve_criteria and not judges:
        raise UsageError(
            "--evolve-criteria needs a model that judges; give --eval-backends provider/model, or leave it out"
        )
    wanted = settings.refine.evolve_criteria if request.evolve_criteria is None else request.evolve_criteria
    return wanted and bool(judges)


def prepare_evaluate(request: Request, settings: Settings) -> Prepared:
    """Resolve a one-shot evaluation; refuses what `prepare_refine` refuses."""
    notices: list[str] = []
    source, focus = find_source(request.prior_answer, request.cwd)
    judges = choose_eval_backends(request, settings, "", notices)
    check_source(source, settings)
    plan = RefinePlan(
        task=request.task or "Judge this work against its criteria.",
        source=str(source),
        focus=focus,
        criteria=user_criteria(request),
        probes=choose_probes(request.probes, settings),
        probe_timeout=settings.refine.probe_timeout,
        interpreter=find_python(request.python, source),
        eval_backend=judges[0] if judges else "",
        more_judges=judges[1:],
        time_budget=request.time_budget or settings.refine.time_budget,
        max_rounds=1,
        max_file_bytes=settings.refine.max_file_bytes,
        urgency=choose_urgency(request, settings, judges, notices),
        priority=request.priority,
    )
    budget = request.cost_budget or settings.budget.run
    return assemble("evaluate", plan, settings, budget, notices, account=request.account)


def prepare_check(names: Sequence[str], budget: MicroDollars | None, settings: Settings) -> Prepared:
    """Resolve a check of backends. Raises UsageError for none, for one named twice, and what `usable` raises."""
    notices: list[str] = []
    backends = tuple(usable(name, settings, notices) for name in names)
    refuse_twice(backends)
    return assemble("check", CheckPlan(backends=backends), settings, budget or settings.budget.run, notices)


def assemble(
    pipeline: str,
    plan: Plan,
    settings: Settings,
    budget: MicroDollars | None,
    notices: Sequence[str],
    *,
    account: str | None = None,
    queue: str = "",
) -> Prepared:
    """Name the run, pin what steers it, and make sure that the machine can do it."""
    if not settings.sandbox.disabled:
        door = find_door(settings.sandbox.door)
        if settings.sandbox.door == "container" and door.name not in ("docker", "podman"):
            notices = (*notices, f"no container works here: what models write runs in {door.name}")
    refuse_unmetered(plan.models(), settings, budget)
    home = home_of(settings)
    if untold := why_off(settled(settings.telemetry)):
        notices = (*notices, untold)
    run = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    pins = {"plan": plan.model_dump(mode="json"), **versions(settings)}
    caps = caps_of(run, budget, settings.budget, account or settings.budget.account, queue)
    told = check_caps(caps, home, settings.budget)
    spec = RunSpec(run=run, pipeline=pipeline, pins=pins, caps=caps)
    return Prepared(spec=spec, home=home, plan=plan, notices=(*notices, *told), budget=budget)


def remember_plan(home: Home, spec: RunSpec) -> Path:
    """Make the run's folder and write what it was started with, for people and for `run fork`; returns the folder."""
    directory = home.run_directory(spec.run)
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"pipeline": spec.pipeline, **spec.pins}, indent=2) + "\n"
    write_atomic(directory / "plan.json", text.encode())
    return directory


WITH_SECRETS = ("ledger", "lake", "workspace", "telemetry")
"""Sections of the settings that may hold a password, perhaps from the environment: a run's folder must not."""


def remember(prepared: Prepared) -> None:
    """Write the run's folder, what it was started with, who drives it and where: `run cancel` looks for both."""
    directory = remember_plan(prepared.home, prepared.spec)
    settings = {name: one for name, one in prepared.home.settings.items() if name not in WITH_SECRETS}
    driver = {"driver": str(this_process("driver")), "settings": settings, "code": prepared.home.code}
    write_atomic(directory / "driver.json", json.dumps(driver).encode(), 0o600)


def home_of_run(home: Home, run: str) -> Home:
    """The home that a run was last started under, with the settings of that time: its hosts are found by them."""
    try:
        then = json.loads((home.run_directory(run) / "driver.json").read_text())
        return Home.model_validate(
            {**home.model_dump(), "settings": home.settings | then["settings"], "code": then["code"]}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return home


def versions(settings: Settings) -> dict[str, Any]:
    """What must be the same when a run is resumed, beside its plan."""
    return {
        "version": __version__,
        "code": code_hash(),
        "personas": persona_hashes(Path(settings.state_dir) / "personas"),
        "prices": book_of(settings.backends).data_version,
    }


def user_criteria(request: Request) -> CriteriaSet | None:
    """The criteria a user gave, whichever way; None where none were given."""
    given = [name for name in ("criteria", "criteria_file", "criteria_preset") if getattr(request, name) is not None]
    if len(given) > 1:
        flags = " and ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{flags} were both given; give criteria one way")
    return choose_criteria(inline=request.criteria, file=request.criteria_file, preset=request.criteria_preset)


def choose_build_backend(request: Request, settings: Settings, notices: list[str]) -> str:
    """The model that builds: the flag's, the settings', the only key's, else the embedded one."""
    named = request.build_backend or settings.refine.build_backend
    if not named:
        named = _backend_of_the_only_key(settings) or EMBEDDED
        notices.append(f"building with {named}: no --build-backend was given")
    return usable(named, settings, notices)


def choose_eval_backends(request: Request, settings: Settings, build: str, notices: list[str]) -> tuple[str, ...]:
    """The models that judge: the flag's, the settings', the builder's. Without one that may, the probes decide.

    Raises UsageError for one named twice, and for `probes` beside a model.
    """
    named = list(request.eval_backends) or list(settings.eval.backends)
    if named == ["probes"]:
        return ()
    if "probes" in named:
        raise UsageError("probes measure beside every model anyway; name models, or probes alone")
    resolved = authenticated(named, lambda one: usable(one, settings, notices), notices) if named else ()
    resolved = through_massgen(resolved, settings, notices, asked=request.massgen)
    alone = "" if resolved else build or single_evaluator(settings, several_named=bool(named))
    chosen = resolved or ((alone,) if alone else ())
    able = tuple(one for one in chosen if capabilities(one, settings.backends).may_judge)
    if named and not resolved:
        who = f"{alone} judges in their place" if able else "the verdict comes from the probes"
        notices.append(f"no backend that was named has a key: {who}")
    elif not chosen:
        notices.append("no model is named and no key is set: the verdict comes from the probes")
    else:
        rest = "its share is left out" if able else "the verdict comes from the probes"
        notices += [f"{one} cannot judge: {rest}" for one in chosen if one not in able]
    return able


def choose_urgency(request: Request, settings: Settings, backends: Sequence[str], notices: list[str]) -> Urgency:
    """Whether calls go through batches; says so of each backend that has none or no price of its own for them."""
    if not request.overnight and settings.urgency == "now":
        return "now"
    book = book_of(settings.backends)
    for name in dict.fromkeys(filter(None, backends)):
        if not has_batches(name):
            notices.append(f"{name} has no batch API: its calls are made at once, at the usual price")
        elif not book.has_batch_price(name):
            notices.append(f"no batch price is known for {name}: the budget counts the full price")
    return "overnight"


def usable(spec: str, settings: Settings, notices: list[str]) -> str:
    """Resolve a backend's name and check its key and its price, without calling it."""
    name, notice = substitute(resolve_name(spec, short_names(settings.backends)), settings.backends)
    if notice and notice not in notices:
        notices.append(notice)
    check_keys(name, settings.backends)
    check_place(name, settings.backends)
    book_of(settings.backends).require(priced_as(name, settings.backends))
    return name


def refuse_unmetered(backends: Sequence[str], settings: Settings, budget: MicroDollars | None) -> None:
    """Raises UnpricedModel where a cap is set and nothing bounds what a call costs: the ledger would refuse it."""
    prices = book_of(settings.backends)
    for name in filter(None, backends):
        if budget is not None and prices.is_unmetered(name):
            raise UnpricedModel(
                f"{name} is unmetered, so no budget could hold; set the most dollars a call of it may cost: backends: "
                f"{{prices: {{overrides: {{{name}: {{call: 0.50}}}}}}}}, or leave the budget out"
            )


def default_candidates(able: Capabilities) -> int:
    return 1 if able.tools else EMBEDDED_CANDIDATES


def _backend_of_the_only_key(settings: Settings) -> str:
    found = [name for name in VENDOR_DEFAULTS if _has_key(name, settings)]
    if len(found) > 1:
        raise UsageError(
            f"keys for {len(found)} providers are set ({', '.join(found)}); name the builder with --build-backend"
        )
    return found[0] if found else ""


def single_evaluator(settings: Settings, *, several_named: bool) -> str:
    """The model that judges where nobody named can: a vendor's whose key is set; empty where there is none.

    Raises UsageError where nobody was named and keys of several vendors are there to choose from.
    """
    if not several_named:
        return _backend_of_the_only_key(settings)
    return next((name for name in VENDOR_DEFAULTS if _has_key(name, settings)), "")


def _has_key(backend: str, settings: Settings) -> bool:
    return any(os.environ.get(variable) for variable in key_variables(backend, settings.backends))
